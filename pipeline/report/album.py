"""Pictures of a page: small ones inside it as long as a budget lasts, the others as files beside it.

A picture larger than a thumbnail is reduced for the page, and its own bytes stand below OUT/report/pictures/, to be
looked at by a click. What the budget does not cover is linked there as well.
"""

import base64
import dataclasses
import hashlib
import io
from typing import Any

from PIL import Image

from pipeline import media
from pipeline.media import Bounds

THUMBNAIL = 128  # pixels along a side; smaller pictures are embedded as they are
BUDGET = 4_000_000  # characters of embedded pictures; drawings and text take the rest of a page's 6 MB
QUALITY = 82  # of reduced pictures
FOLDER = "pictures"


@dataclasses.dataclass(frozen=True)
class Picture:
    """Where a page finds a picture."""

    src: str  # data URI, or a path beside the page
    full: str  # path of the picture in its own size, "" where `src` shows that


class Album:
    """Pictures of one page in the order in which it shows them."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.files: dict[str, bytes] = {}  # path beside the page -> content

    def picture(self, value: Any) -> Picture | None:
        """An image cell of a table; None where it holds none that can be shown."""
        try:
            data = media.field_bytes(value)
            return self._picture(data) if data else None
        except media.MediaError:
            return None

    def _picture(self, data: bytes) -> Picture:
        src, large = data_uri(data)
        if len(src) > self.left:
            path = self._file(data)
            return Picture(path, path)
        self.left -= len(src)
        return Picture(src, self._file(data) if large else "")

    def _file(self, data: bytes) -> str:
        """Path of a picture beside the page, named by its content."""
        with Image.open(io.BytesIO(data), formats=media.FORMATS) as opened:
            suffix = str(opened.format).lower()
        path = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:20]}.{suffix}"
        self.files[path] = data
        return path


def data_uri(data: bytes) -> tuple[str, bool]:
    """A picture for a page, and whether it had to be reduced to a thumbnail. Raises MediaError."""
    pixels = media.decode_image(data, Bounds())
    large = max(pixels.shape[:2]) > THUMBNAIL
    small = _reduced(pixels) if large else media.encode_webp(pixels)
    return "data:image/webp;base64," + base64.b64encode(small).decode(), large


def _reduced(pixels: media.Pixels) -> bytes:
    small = Image.fromarray(pixels)
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY)
    return out.getvalue()
