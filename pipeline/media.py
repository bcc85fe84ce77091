"""Media <-> bytes, bounded. Bytes from outside are never trusted: sizes are read from headers before decoding.

Images are uint8 arrays [H, W, 3] in RGB; sketches are uint8 arrays [H, W], dark lines on light ground.
"""

import dataclasses
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = NDArray[np.uint8]

# Formats that Pillow decodes by itself; EPS, for one, would start Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


class MediaError(ValueError):
    """Bytes that are not the media they should be; the message is what a failed row says."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a single medium may cost to decode."""

    pixels: int = 64_000_000  # width x height; a 30,000 x 30,000 PNG of a few kB would take 2.7 GB
    side: int = 1024  # larger pictures are reduced as they are read: a shard holds all pictures of its inputs
    bytes: int = 64 * 2**20
    characters: int = 10_000


def field_bytes(value: Any) -> bytes | None:
    """Bytes of a cell: plain binary, or a Hugging Face struct {bytes, path}. None: the medium is missing."""
    if isinstance(value, Mapping):
        if value.get("bytes") is None and value.get("path"):
            raise MediaError(f"holds only a path ({value['path']!r}), not the bytes; embed the files first")
        value = value.get("bytes")
    if value is None or value == b"":
        return None
    if not isinstance(value, bytes):
        raise MediaError(f"holds {type(value).__name__}, not bytes")
    return value


def field_text(value: Any, bounds: Bounds) -> str | None:
    """Text of a cell. None: missing or blank."""
    if value is None or value != value:  # NaN, as pandas writes missing text
        return None
    if not isinstance(value, str):
        raise MediaError(f"holds {type(value).__name__}, not text")
    if len(value) > bounds.characters:
        raise MediaError(f"has {len(value):,} characters; at most {bounds.characters:,} are read")
    return value.strip() or None


def decode_image(data: bytes, bounds: Bounds) -> Pixels:
    """RGB pixels [H, W, 3]; transparency is laid on white."""
    return np.asarray(_on_white(_open(data, bounds)))


def decode_sketch(data: bytes, bounds: Bounds) -> Pixels:
    """Grey pixels [H, W]; transparency is laid on white."""
    return np.asarray(_on_white(_open(data, bounds)).convert("L"))


def encode_webp(pixels: Pixels, xmp: bytes = b"") -> bytes:
    """Lossless WebP, method 0: six times faster than PNG at the same size; `xmp` is what the file says of itself."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, quality=0, method=0, xmp=xmp)
    return out.getvalue()


def encode_png(pixels: Pixels) -> bytes:
    """Optimised PNG, for data sets that are written once and read often."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def fit(pixels: Pixels, size: int) -> Pixels:
    """The whole picture in a white square of `size` pixels, centred, its proportions kept."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(pixels).resize(inner, Image.Resampling.LANCZOS)
    square = Image.new(small.mode, (size, size), "white")
    square.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.asarray(square)


def _open(data: bytes, bounds: Bounds) -> Image.Image:
    if len(data) > bounds.bytes:
        raise MediaError(f"has {len(data):,} bytes; at most {bounds.bytes:,} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound follows
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        if opened.width * opened.height > bounds.pixels:
            raise MediaError(f"has {opened.width} x {opened.height} pixels; at most {bounds.pixels:,} are decoded")
        opened.draft(None, (bounds.side, bounds.side))  # of a large JPEG, a fraction is decoded
        image = _eight_bits(opened)
        image.thumbnail((bounds.side, bounds.side), Image.Resampling.LANCZOS)
        ImageOps.exif_transpose(image, in_place=True)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise error if isinstance(error, MediaError) else MediaError(f"is not a readable image: {error}") from error
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image that can be resampled: 16-bit grey scaled down (Pillow would cut it off), palettes resolved."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA", "1", "I", "F"):
        return image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def as_rgb(pixels: Pixels) -> Pixels:
    """Grey [H, W] or RGB [H, W, 3] pixels as RGB."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
