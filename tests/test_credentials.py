"""What a picture says of itself: read again from its bytes, equal in two runs, and no pixel is another."""

import io
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline import media
from pipeline.credentials import MOST, SOURCE_TYPE, packet, read
from pipeline.media import Bounds, MediaError
from tests import make, tiny
from tests.test_stages import run

Models = dict[str, str]
PIXELS = np.asarray(tiny.picture(0)[0])
FACTS = st.dictionaries(
    st.text(max_size=8), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=20), max_size=4
)


@settings(max_examples=30, deadline=None)
@given(FACTS)
def test_facts_come_back_from_a_picture(facts: dict[str, Any]) -> None:
    pixels = PIXELS
    data = media.encode_webp(pixels, packet(facts))
    assert read(data) == facts
    assert (media.decode_image(data, Bounds()) == pixels).all()
    assert packet(facts) == packet(dict(reversed(facts.items())))


def test_viewers_find_the_source_type() -> None:
    data = media.encode_webp(PIXELS, packet({}))
    with Image.open(io.BytesIO(data)) as opened:
        said = opened.info["xmp"].decode()
    assert f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>" in said


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_format_that_carries_it_is_read(kind: str) -> None:
    out, text = io.BytesIO(), PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet({"a": 1}).decode())
    given = {"pnginfo": text} if kind == "PNG" else {"xmp": packet({"a": 1})}
    Image.fromarray(PIXELS).save(out, kind, **given)
    assert read(out.getvalue()) == {"a": 1}


def test_other_pictures_have_none_and_damage_is_told() -> None:
    assert read(media.encode_webp(PIXELS)) is None
    assert read(media.encode_webp(PIXELS, b"<a/>")) is None
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    assert read(media.encode_webp(PIXELS, bomb)) is None
    assert read(media.encode_webp(PIXELS, b"<a>" + b" " * MOST + b"</a>")) is None
    for damaged in (b"no picture", media.encode_webp(PIXELS, b"<a"), media.encode_webp(PIXELS, b"\xff")):
        with pytest.raises(MediaError):
            read(damaged)


def test_a_run_writes_each_rows_own(models: Models, pairs: str, tmp_path: Path) -> None:
    made = [
        run(make.generate(models, pairs, str(tmp_path / str(i)), "limit=4", "metadata=true")).to_pylist()
        for i in range(2)
    ]
    plain = run(make.generate(models, pairs, str(tmp_path / "plain"), "limit=4")).to_pylist()
    for row, again, without in zip(*made, plain, strict=True):
        said = read(row["image"]["bytes"])
        assert said is not None
        assert said["row_id"] == row["row_id"]
        assert said["seed"] == row["seed"]
        assert said["provenance"] == row["provenance"]
        assert said["guidance"] == {name: weight for name, weight in row["guidance"].items() if weight is not None}
        assert row["image"] == again["image"]
        assert row["row_id"] != without["row_id"]  # another recipe
        pixels = [media.decode_image(r["image"]["bytes"], Bounds()) for r in (row, without)]
        assert (pixels[0] == pixels[1]).all()
