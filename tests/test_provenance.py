"""What a picture's file says of itself: it comes back as it was said, costs no pixel, and stays in the bytes."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pipeline import media, provenance
from tests import make

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
ROW = {"row_id": "ab", "seed": 2**62, "guidance": {"text": 3.0, "all": None}, "texts": {"text": "a red box"}}


@pytest.mark.parametrize(
    "text",
    [
        "a <b> & ]]> \"q\" 'q'",
        "",
        "</batch:row><batch:row>{}",
        "\x00\x07\t\n\u200f\ud800 é 猫 🐈",
        "?>--><!-- {tool} {row}",
    ],
)
def test_a_row_comes_back_as_it_was_said(text: str) -> None:
    row = {**ROW, "texts": {"text": text}}
    packet = provenance.packet(provenance.MADE, row)
    assert packet == provenance.packet(provenance.MADE, dict(reversed(row.items())))
    assert provenance.read(media.encode_webp(PIXELS, packet)) == row
    root = ElementTree.fromstring(packet.decode().strip("\ufeff"))  # as a parser sees it
    assert root.find(f".//{EXT}").text == TERMS + "trainedAlgorithmicMedia"
    assert json.loads(root.find(".//{urn:batch-diffusion:provenance:1/}row").text) == row


def test_a_packet_is_bounded_whatever_a_row_holds() -> None:
    long = {**ROW, "texts": {"text": "🐈" * 10_000}, "source_id": "x" * 10_000}
    said = provenance.read(media.encode_webp(PIXELS, provenance.packet(provenance.MADE, long)))
    assert said is not None
    assert said["texts"]["text"] == "🐈" * 499 + "…"
    assert said["source_id"] == "x" * 499 + "…"
    assert len(provenance.packet(provenance.MADE, long)) < 10_000


def test_it_costs_no_pixel_and_no_other_byte() -> None:
    plain, packet = media.encode_webp(PIXELS), provenance.packet(provenance.MADE, ROW)
    marked = media.encode_webp(PIXELS, packet)
    assert marked == media.encode_webp(PIXELS, packet)
    assert plain[12:] in marked  # the same chunk of pixels
    assert 0 < len(marked) - len(plain) - len(packet) <= 8 + 18 + 1  # heads of two chunks, and padding
    with Image.open(io.BytesIO(marked)) as opened:
        assert (np.asarray(opened) == PIXELS).all()
    assert media.encode_webp(PIXELS, b"") == plain
    assert provenance.read(plain) is None
    assert provenance.xmp(plain) == b""


def test_packets_of_others_are_no_rows() -> None:
    foreign = media.encode_webp(PIXELS, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><other/></x:xmpmeta>")
    assert provenance.read(foreign) is None
    assert provenance.xmp(foreign).startswith(b"<x:xmpmeta")


def test_a_task_that_needs_a_picture_edits_it() -> None:
    assert provenance.source_type(make.task("sketch_to_image")) == TERMS + "trainedAlgorithmicMedia"
    assert provenance.source_type(make.task("edit")) == TERMS + "compositeWithTrainedAlgorithmicMedia"
