"""What a picture says of itself once it has left its table: an XMP packet (ISO 16684-1) with where it comes from.

It holds IPTC's digital source type for what a trained model made, which viewers and platforms look for, and the row's
own provenance as JSON. Nothing is signed: whoever wants to can take it out.
"""

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from pipeline.media import FORMATS, MediaError

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TOOL = "batch-diffusion"
MOST = 65_536  # bytes of a packet that is read
SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "bd": "urn:batch-diffusion:1",
}
BEGIN, END = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="r"?>'


def _name(space: str, tag: str) -> str:
    return f"{{{SPACES[space]}}}{tag}"


def packet(facts: Mapping[str, Any]) -> bytes:
    """The packet of one row; `facts` is what JSON can say, the same bytes for the same facts."""
    for prefix, uri in SPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(_name("x", "xmpmeta"))
    about = ElementTree.SubElement(
        ElementTree.SubElement(root, _name("rdf", "RDF")), _name("rdf", "Description"), {_name("rdf", "about"): ""}
    )
    own = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    said = {("Iptc4xmpExt", "DigitalSourceType"): SOURCE_TYPE, ("xmp", "CreatorTool"): TOOL, ("bd", "provenance"): own}
    for (space, tag), text in said.items():
        ElementTree.SubElement(about, _name(space, tag)).text = text
    return f"{BEGIN}{ElementTree.tostring(root, encoding='unicode')}{END}".encode()


def read(data: bytes) -> dict[str, Any] | None:
    """The facts in a picture's packet (WebP, PNG or JPEG); None where it has none of ours. Raises MediaError."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            found = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp") or b""
        text = found if isinstance(found, str) else bytes(found).decode()
        if not text or len(text) > MOST or "<!" in text:  # no packet declares entities
            return None
        root = ElementTree.fromstring(text.strip().strip("\0"))  # noqa: S314
        own = next(root.iter(_name("bd", "provenance")), None)
        return None if own is None else dict(json.loads(own.text or "null"))
    except (OSError, ValueError, TypeError, ElementTree.ParseError) as error:
        raise MediaError(f"the picture's XMP packet cannot be read: {error}") from error
