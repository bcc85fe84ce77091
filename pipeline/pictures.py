"""Pictures as files of their own, with what they say of themselves: what a table's picture becomes outside it."""

import io
import json
from collections.abc import Callable

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline import media, provenance

TEXT = "provenance"  # keyword of the text chunk that holds the row as JSON


def webp(data: bytes) -> bytes:
    """The stored file as it is."""
    return data


def png(data: bytes) -> bytes:
    """The same pixels as PNG; an XMP packet goes with them, and the row in it as plain JSON in a text chunk (iTXt)."""
    said, row = provenance.xmp(data), provenance.read(data)
    chunks = PngInfo()
    if said:
        chunks.add_itxt("XML:com.adobe.xmp", said.decode())
    if row:
        chunks.add_itxt(TEXT, json.dumps(row, sort_keys=True))
    out = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=media.FORMATS) as opened:
        opened.convert("RGB").save(out, "PNG", optimize=True, pnginfo=chunks)
    return out.getvalue()


FORMATS: dict[str, Callable[[bytes], bytes]] = {"png": png, "webp": webp}
