import io
import struct
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from pipeline import media
from pipeline.media import Bounds, MediaError
from tests.tiny import picture, png

BOUNDS = Bounds()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side: int) -> bytes:
    """A valid PNG of side x side black pixels, a few hundred kB at most."""
    line = zlib.compressobj(9)
    data = b"".join(line.compress(b"\0" * ((side + 7) // 8 + 1)) for _ in range(side)) + line.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@given(st.integers(0, 100))
@settings(max_examples=10)
def test_lossless_round_trip(index: int) -> None:
    pixels = np.asarray(picture(index)[0])
    assert (media.decode_image(media.encode_webp(pixels), BOUNDS) == pixels).all()
    assert (media.decode_image(media.encode_png(pixels), BOUNDS) == pixels).all()


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = huge_png(30_000)
    assert len(bomb) < 1_000_000
    with pytest.raises(MediaError, match="pixels"):
        media.decode_image(bomb, BOUNDS)
    with pytest.raises(MediaError, match=r"9000 x 9000 pixels; at most 64,000,000"):
        media.decode_image(huge_png(9_000), BOUNDS)


@pytest.mark.parametrize("cut", [0, 10, 50, 100])
def test_truncated_images_are_refused(cut: int) -> None:
    with pytest.raises(MediaError):
        media.decode_image(png(picture(1)[0])[:cut], BOUNDS)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        media.decode_image(data, BOUNDS)


def test_formats_that_run_programs_are_refused() -> None:
    with pytest.raises(MediaError):
        media.decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", BOUNDS)


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (media.decode_image(png(clear), BOUNDS) == 255).all()
    assert (media.decode_sketch(png(clear), BOUNDS) == 255).all()


def test_cells_hold_bytes_or_structs() -> None:
    assert media.field_bytes(b"x") == b"x"
    assert media.field_bytes({"bytes": b"x", "path": "a.png"}) == b"x"
    assert media.field_bytes(None) is None
    assert media.field_bytes({"bytes": None, "path": None}) is None
    assert media.field_bytes(b"") is None
    with pytest.raises(MediaError, match=r"only a path \('a.png'\)"):
        media.field_bytes({"bytes": None, "path": "a.png"})
    with pytest.raises(MediaError, match="float"):
        media.field_bytes(float("nan"))


def test_text_is_blank_nan_or_bounded() -> None:
    assert media.field_text(" a ", BOUNDS) == "a"
    assert media.field_text("  ", BOUNDS) is None
    assert media.field_text(float("nan"), BOUNDS) is None
    with pytest.raises(MediaError, match="10,001"):
        media.field_text("x" * 10_001, BOUNDS)
    with pytest.raises(MediaError, match="int"):
        media.field_text(3, BOUNDS)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 64))
@settings(max_examples=40)
def test_fit_keeps_the_whole_picture_in_a_white_square(height: int, width: int, size: int) -> None:
    black = np.zeros((height, width, 3), np.uint8)
    square = media.fit(black, size)
    assert square.shape == (size, size, 3)
    inside = (square == 0).all(-1)
    assert inside.any(1).sum() == max(1, round(height * size / max(height, width)))
    assert inside.any(0).sum() == max(1, round(width * size / max(height, width)))


def test_grey_becomes_rgb_and_rgb_stays() -> None:
    grey = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert (media.as_rgb(grey) == grey[:, :, None]).all()
    assert media.as_rgb(media.as_rgb(grey)).shape == (2, 2, 3)
    assert io.BytesIO(media.encode_png(grey)).read(4) == b"\x89PNG"


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    seen = media.decode_sketch(png(Image.fromarray(ramp)), BOUNDS)
    assert np.abs(seen.astype(int) - (ramp >> 8)).max() <= 1


def test_photographs_stand_upright() -> None:
    pixels = np.full((16, 32, 3), 255, np.uint8)
    pixels[:, :16] = 0
    image, out = Image.fromarray(pixels), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6  # turned clockwise by a quarter
    image.save(out, "JPEG", exif=exif)
    upright = media.decode_image(out.getvalue(), BOUNDS)
    assert upright.shape == (32, 16, 3)
    assert upright[0].mean() < 20
    assert upright[-1].mean() > 235


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_large_pictures_are_reduced_as_they_are_read(kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (3000, 1500), "red").save(out, kind)
    small = media.decode_image(out.getvalue(), Bounds(side=256))
    assert small.shape == (128, 256, 3)
    assert (small.reshape(-1, 3).mean(0) - [254, 0, 0] < 2).all()
