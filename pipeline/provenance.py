"""What a picture's own file says of it once it has left the table: that a model made it, and which row it was.

An XMP packet (ISO 16684-1) with IPTC's DigitalSourceType, which C2PA uses as well, and the row as JSON. WebP, PNG and
JPEG files have a place for it that every program knows; nothing signs it, and whoever wants to can take it out
(signing.py makes it evident).
"""

import io
import json
import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

from PIL import Image

from pipeline import media
from pipeline.settings import Task

# https://cv.iptc.org/newscodes/digitalsourcetype
MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
TOOL = "batch-diffusion"
MOST_CHARACTERS = 500  # of each string; longer ones end in an ellipsis
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:batch="urn:batch-diffusion:provenance:1/">
<xmp:CreatorTool>{tool}</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
<batch:row>{row}</batch:row>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
ROW = re.compile(r"<batch:row>(.*?)</batch:row>", re.DOTALL)


def source_type(task: Task) -> str:
    """IPTC's word for a task's results: edited, if the task needs a picture that it changes, else made."""
    return EDITED if "image" in {task.roles[role] for role in task.required} else MADE


def packet(source: str, row: Mapping[str, Any]) -> bytes:
    """The XMP packet of a picture; `row` is plain JSON. Same row, same bytes."""
    said = json.dumps(_cut(row), sort_keys=True)  # ASCII, so no character that XML forbids
    return PACKET.format(tool=TOOL, source=source, row=escape(said, quote=False)).encode()


def read(data: bytes) -> dict[str, Any] | None:
    """The row in a picture's file; None where it says nothing of one. Raises UnidentifiedImageError."""
    found = ROW.search(xmp(data).decode("utf-8", "replace"))
    return dict(json.loads(unescape(found[1]))) if found else None


def xmp(data: bytes) -> bytes:
    """The XMP packet of a picture's file, whoever wrote it; empty if there is none."""
    with Image.open(io.BytesIO(data), formats=media.FORMATS) as opened:
        said = opened.info.get("xmp", b"")
    return said if isinstance(said, bytes) else str(said).encode()


def _cut(value: Any) -> Any:
    """The value with no string longer than MOST_CHARACTERS."""
    if isinstance(value, Mapping):
        return {str(key): _cut(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value]
    return value[: MOST_CHARACTERS - 1] + "…" if isinstance(value, str) and len(value) > MOST_CHARACTERS else value
