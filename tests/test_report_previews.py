"""What a page shows of a row: results, references and conditions, whatever the task; nothing where nothing is."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import results
from pipeline.report.album import BUDGET, Album
from pipeline.report.previews import Previews, square
from tests import tiny_dance
from tests.make import task


def png(colour: int) -> dict[str, Any]:
    """A small picture as an image cell."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(data, "PNG")
    return {"bytes": data.getvalue(), "path": None}


def dance_row() -> dict[str, Any]:
    """An input with a result, of the dancing task."""
    given = tiny_dance.rows(1)[0]
    kind = results.of(task("music_to_dance"))
    cells = {"motion": given["motion"], "n_frames": len(given["motion"]) // 66, "n_joints": 22, "fps": 30.0}
    table = pa.table({f.name: pa.array([cells[f.name]], f.type) for f in kind.fields})
    inputs = {"text": given["text"], "music": given["audio"], "motion": given["motion"], "beats": given["beats"]}
    return {"inputs": inputs, "result": table}


def test_an_edit_shows_what_was_edited() -> None:
    shown = Previews(task("edit"), Album(BUDGET))
    row = {"inputs": {"text": "a cat", "source": png(1), "mask": None, "sketch": None, "image": png(2)}}
    assert [role for role, _ in shown.conditions(row)] == ["source"]
    row["inputs"]["mask"] = png(255)
    assert [role for role, _ in shown.conditions(row)] == ["source", "mask"]
    guided = Previews(task("edit", "task.conditions=[sketch,text]"), Album(BUDGET))
    assert ("sketch", None) in guided.conditions(row)


def test_a_picture_is_shown_as_its_own_bytes() -> None:
    shown = Previews(task("sketch_to_image"), Album(BUDGET))
    row = {"inputs": {"text": "", "sketch": png(1), "image": png(2)}, "result": pa.table({"image": [png(3)]})}
    result, reference = shown.result(row), shown.reference(row)
    [(role, sketch)] = shown.conditions(row)
    assert role == "sketch"
    assert result is not None
    assert reference is not None
    assert sketch is not None
    assert len({result.src, reference.src, sketch.src}) == 3
    assert not result.wide
    assert shown.words(row) == "(no text)"


def test_a_dance_is_shown_wide_and_plays() -> None:
    shown, row = Previews(task("music_to_dance"), Album(BUDGET)), dance_row()
    still, film = shown.result(row), shown.result(row, moves=True)
    assert still is not None
    assert film is not None
    assert still.wide
    assert still.src == film.src
    assert still.full == ""
    assert film.full.startswith("data:image/gif")
    heard = shown.result(row, moves=True, sounds=True)
    assert heard is not None
    assert heard.full.startswith("data:video/mp4")
    assert [role for role, picture in shown.conditions(row) if picture] == ["music"]
    middle = square(task("music_to_dance"), row)
    assert middle is not None
    assert abs(middle.shape[0] - middle.shape[1]) <= 1


@pytest.mark.parametrize("name", ["sketch_to_image", "music_to_dance"])
def test_what_is_not_there_or_is_broken_is_not_shown(name: str) -> None:
    shown = Previews(task(name), Album(BUDGET))
    broken = {"image": {"bytes": b"x", "path": None}, "sketch": None, "motion": np.zeros(67), "music": None}
    assert shown.reference({"inputs": broken}) is None
    assert all(picture is None for _, picture in shown.conditions({"inputs": broken}))
    assert square(task(name), None) is None
