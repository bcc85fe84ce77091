"""Content Credentials (C2PA): a signed manifest in a picture's file that says what made it, by c2pa-python.

Who changes the picture, or the manifest, breaks the signature; who takes the manifest out leaves an unsigned picture.
Keys are the user's own, read where the files are written, and stand in no plan and no table.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

from pipeline import provenance, storage
from pipeline.settings import SettingsError, Signing

ROW = "urn.batch-diffusion.row"  # label of the assertion that holds the row
ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}  # curve of a key -> its name in C2PA
SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}  # by itself a manifest holds the picture a second time


class Signer:
    """Callable on pictures' files. Raises SettingsError for a key or a certificate that cannot be used."""

    def __init__(self, signing: Signing, source_type: str) -> None:
        try:
            import c2pa
        except ImportError:
            raise SettingsError("c2pa.certificate needs c2pa-python: pip install 'batch-diffusion[c2pa]'") from None
        if not (signing.certificate and signing.key):
            raise SettingsError("c2pa.certificate and c2pa.key belong together; give both")
        chain, key = storage.read(signing.certificate), storage.read(signing.key)
        self.source_type, self.c2pa = source_type, c2pa
        self.context = c2pa.Context.from_dict(SETTINGS)
        self.info = c2pa.C2paSignerInfo(
            alg=_algorithm(key, signing.key).encode(), sign_cert=chain, private_key=key, ta_url=None
        )

    def __call__(self, data: bytes, form: str, row: Mapping[str, Any]) -> bytes:
        """A picture's file (`form` is "png" or "webp") with a manifest that says what `row` does."""
        action = {"action": "c2pa.created", "digitalSourceType": self.source_type}
        manifest = {
            "claim_generator_info": [{"name": provenance.TOOL}],
            "title": row["row_id"],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
                {"label": ROW, "data": dict(row)},
            ],
        }
        out = io.BytesIO()
        try:
            with self.c2pa.Signer.from_info(self.info) as signer:
                self.c2pa.Builder(manifest, self.context).sign(signer, f"image/{form}", io.BytesIO(data), out)
        except self.c2pa.C2paError as error:
            raise SettingsError(f"c2pa.certificate and c2pa.key cannot sign: {error}") from None
        return out.getvalue()


def credentials(data: bytes, form: str) -> dict[str, Any]:
    """The manifests of a picture's file, with what c2pa found when it checked them (`validation_results`)."""
    import c2pa

    with c2pa.Reader(f"image/{form}", io.BytesIO(data)) as reader:
        return dict(json.loads(reader.json()))


def _algorithm(pem: bytes, uri: str) -> str:
    """C2PA's name for how a private key signs."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"c2pa.key={uri} is no private key in PEM form without a password: {error}") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in ALGORITHMS:
        return ALGORITHMS[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise SettingsError(f"c2pa.key={uri} is of a kind that C2PA does not take; take ECDSA P-256, Ed25519 or RSA")
