"""Pictures of a page: small ones inside it as long as a budget lasts, the others as files beside it.

A picture larger than a thumbnail is reduced for the page, and its own bytes stand below OUT/report/pictures/, to be
looked at by a click. What the budget does not cover is linked there as well. Of what moves, the page shows a picture
that was drawn of it, and a click plays it.
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
WIDE = 3  # thumbnails side by side: at most so wide is what was drawn of a thing that takes time
MOVING = 400_000  # characters of an animation that a page may hold; larger ones stand beside it
FOLDER = "pictures"


@dataclasses.dataclass(frozen=True)
class Picture:
    """Where a page finds a picture."""

    src: str  # data URI, or a path beside the page
    full: str  # path, or data URI, of the picture in its own size, or as it moves; "" where `src` shows that
    wide: bool = False  # whether it takes the place of WIDE pictures
    words: str = ""  # what a page writes out in its place


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

    def drawn(self, pixels: media.Pixels, moving: bytes | None = None) -> Picture:
        """What was drawn of a thing, and an animation of it where there is one."""
        wide = pixels.shape[1] > pixels.shape[0]
        small = reduced(pixels, (WIDE * THUMBNAIL, THUMBNAIL))
        return Picture(self._put(small), self._put(moving, MOVING) if moving else "", wide)

    def _put(self, data: bytes, most: int = BUDGET) -> str:
        """A data URI, or a path where there is no room for it."""
        src = uri(data)
        if len(src) > min(self.left, most):
            return self._file(data)
        self.left -= len(src)
        return src

    def _picture(self, data: bytes) -> Picture:
        src, large = data_uri(data)
        if len(src) > self.left:
            path = self._file(data)
            return Picture(path, path)
        self.left -= len(src)
        return Picture(src, self._file(data) if large else "")

    def _file(self, data: bytes) -> str:
        """Path of a picture beside the page, named by its content."""
        path = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:20]}.{mime(data).rpartition('/')[2]}"
        self.files[path] = data
        return path


def data_uri(data: bytes) -> tuple[str, bool]:
    """A picture for a page, and whether it had to be reduced to a thumbnail. Raises MediaError."""
    pixels = media.decode_image(data, Bounds())
    large = max(pixels.shape[:2]) > THUMBNAIL
    return uri(reduced(pixels) if large else media.encode_webp(pixels)), large


def uri(data: bytes) -> str:
    """A picture or a film as a data URI."""
    return f"data:{mime(data)};base64,{base64.b64encode(data).decode()}"


def mime(data: bytes) -> str:
    """What a picture or a film says that it is."""
    if data[4:8] == b"ftyp":
        return "video/mp4"
    with Image.open(io.BytesIO(data), formats=media.FORMATS) as opened:
        return f"image/{str(opened.format).lower()}"


def reduced(pixels: media.Pixels, box: tuple[int, int] = (THUMBNAIL, THUMBNAIL)) -> bytes:
    """A picture as WebP that fits into a box of (width, height)."""
    small = Image.fromarray(pixels)
    small.thumbnail(box, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY)
    return out.getvalue()
