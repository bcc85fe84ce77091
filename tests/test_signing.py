"""Runs that say in each picture what made it, and exports that sign it: the way of a picture out of the table."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from jobs.export import export as job
from pipeline import audit, checks, pictures, provenance, run, storage
from pipeline.adopt import adopt_or_make
from pipeline.export import export
from pipeline.media import encode_webp
from pipeline.settings import Export, SettingsError, Signing
from pipeline.signing import ROW, Signer, credentials
from tests import make, signer
from tests.test_stages import run as stages

Models = dict[str, str]
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
OWN = {"row_id": "ab", "source_id": "box", "cell": ""}


@pytest.fixture(scope="module")
def marked(models: Models, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run of four inputs in two cells, of which one does not see the text."""
    output = str(tmp_path_factory.mktemp("marked") / "out")
    settings = make.generate(models, pairs, output, "limit=4", "mark.metadata=true", "sweep.drop=[none,text]")
    checks.check(settings)
    weights = run.fingerprints(settings)
    stages(settings, weights=weights)
    plan = adopt_or_make(settings, weights)
    audit.write_success(output, audit.audit(output, plan), {})
    return output


def rows_of(output: str) -> list[dict[str, Any]]:
    return pq.read_table(f"{output}/data").to_pylist()


def test_each_picture_of_a_run_says_which_row_it_is(marked: str, models: Models, pairs: str, tmp_path: Path) -> None:
    plan = json.loads(storage.read(f"{marked}/plan/plan.json"))
    assert plan["identity"]["mark"] == {"metadata": True}
    for row in rows_of(marked):
        said = provenance.read(row["image"]["bytes"])
        assert said is not None
        for name in ("row_id", "source_id", "cell", "sample_index", "seed", "provenance"):
            assert said[name] == row[name]
        assert said["guidance"] == {name: weight for name, weight in row["guidance"].items() if weight is not None}
        assert said["recipe"] == plan["fingerprints"][0]
        seen = "drop=text" not in row["cell"]
        assert list(said["texts"].values()) == ([f"a {said['texts']['text'].split()[1]} box"] if seen else [])
    plain = make.generate(models, pairs, str(tmp_path / "plain"), "limit=4", "sweep.drop=[none,text]")
    without = stages(plain, weights=run.fingerprints(plain)).to_pylist()
    key = lambda row: (row["source_id"], row["cell"])  # noqa: E731
    for row, other in zip(sorted(rows_of(marked), key=key), sorted(without, key=key), strict=True):
        assert other["image"]["bytes"][12:] in row["image"]["bytes"]
        assert row["row_id"] != other["row_id"]  # other bytes are another recipe's
    again = make.generate(models, pairs, marked, "limit=4", "sweep.drop=[none,text]")
    with pytest.raises(SettingsError, match=r"mark"):
        adopt_or_make(again, run.fingerprints(again))


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_picture_of_its_own_says_the_same(marked: str, tmp_path: Path, form: str) -> None:
    assert job(Export(marked, str(tmp_path / "out"), form, 10)) == str(tmp_path / "out")
    rows = {f"{row['row_id']}.{form}": row for row in rows_of(marked)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(rows)
    for name, row in rows.items():
        data = (tmp_path / "out" / name).read_bytes()
        assert provenance.read(data) == provenance.read(row["image"]["bytes"])
        with Image.open(io.BytesIO(data)) as opened, Image.open(io.BytesIO(row["image"]["bytes"])) as held:
            assert opened.format == form.upper()
            assert (np.asarray(opened) == np.asarray(held)).all()
            if form == "png":
                assert json.loads(opened.text[pictures.TEXT])["row_id"] == row["row_id"]


def test_a_table_of_an_export_keeps_what_pictures_say(marked: str, tmp_path: Path) -> None:
    export(Export(marked, str(tmp_path), "parquet", 10))
    for row in pq.read_table(tmp_path / "part-00000.parquet").to_pylist():
        said = provenance.read(row["image"]["bytes"])
        assert said is not None
        assert said["row_id"] == row["id"]


def test_a_picture_that_says_nothing_stays_silent() -> None:
    with Image.open(io.BytesIO(pictures.png(encode_webp(PIXELS)))) as opened:
        assert (np.asarray(opened) == PIXELS).all()
        assert opened.info == {}


@pytest.mark.parametrize("form", ["png", "webp"])
def test_signed_pictures_are_valid_until_they_are_changed(marked: str, tmp_path: Path, form: str) -> None:
    pytest.importorskip("c2pa")
    place = signer.folder(tmp_path / "keys")
    signing = Signing(str(place / "chain.pem"), str(place / "key.pem"))
    job(Export(marked, str(tmp_path / "out"), form, 10, signing))
    for row in rows_of(marked):
        data = (tmp_path / "out" / f"{row['row_id']}.{form}").read_bytes()
        found = credentials(data, form)
        # Valid, but for the root, which no program knows.
        assert [status["code"] for status in found["validation_status"]] == ["signingCredential.untrusted"]
        own = found["manifests"][found["active_manifest"]]
        assert own["signature_info"]["common_name"] == "signer"
        told = {assertion["label"]: assertion["data"] for assertion in own["assertions"]}
        assert told["c2pa.actions.v2"]["actions"][0]["digitalSourceType"] == provenance.MADE
        assert told[ROW] == provenance.read(row["image"]["bytes"]) == provenance.read(data)
        with Image.open(io.BytesIO(data)) as opened, Image.open(io.BytesIO(row["image"]["bytes"])) as held:
            assert (np.asarray(opened) == np.asarray(held)).all()
    changed = bytearray(data)
    changed[data.index({"png": b"IDAT", "webp": b"VP8L"}[form]) + 40] ^= 1
    codes = [status["code"] for status in credentials(bytes(changed), form)["validation_status"]]
    assert "assertion.dataHash.mismatch" in codes


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_keys_of_several_kinds_sign(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    pytest.importorskip("c2pa")
    place = signer.folder(tmp_path, curve)
    sign = Signer(Signing(str(place / "chain.pem"), str(place / "key.pem")), provenance.MADE)
    data = sign(encode_webp(PIXELS), "webp", OWN)
    assert [s["code"] for s in credentials(data, "webp")["validation_status"]] == ["signingCredential.untrusted"]
    assert len(data) - len(encode_webp(PIXELS)) < 5_000  # no thumbnail


def test_keys_that_cannot_sign_are_named(marked: str, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    one, other = signer.folder(tmp_path / "a"), signer.folder(tmp_path / "b")
    chain, key = str(one / "chain.pem"), str(one / "key.pem")
    (tmp_path / "text.pem").write_text("no key")
    for signing, form, words in (
        (Signing(chain, None), "png", "c2pa.certificate and c2pa.key belong together"),
        (Signing(chain, str(tmp_path / "text.pem")), "png", "is no private key in PEM form"),
        (Signing(chain, str(other / "key.pem")), "png", "cannot sign: .*does not match"),
        (Signing(str(tmp_path / "text.pem"), key), "png", "cannot sign"),
        (Signing(chain, key), "parquet", "c2pa signs files of pictures: format=png or format=webp"),
    ):
        with pytest.raises(SettingsError, match=words):
            export(Export(marked, str(tmp_path / "out"), form, 10, signing))
    assert not (tmp_path / "out").exists()
