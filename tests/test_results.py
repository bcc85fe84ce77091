"""Kinds of results and of media: what is drawn comes back from the table as it was, and what is bad is refused."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline import results, spectrogram
from pipeline.kinds import KINDS, judged
from pipeline.media import MediaError
from pipeline.motion import stored
from pipeline.motion.skeleton import FPS
from pipeline.settings import SettingsError
from pipeline.sound import RATE
from tests.dancer import real
from tests.make import task
from tests.tiny_dance import music

DANCE = next(iter(real().values()))  # [60, 22, 3]


def back(kind: results.Result, value: np.ndarray) -> np.ndarray:
    """A value that went through the output's table."""
    [row] = pa.Table.from_pylist([kind.columns(value)], pa.schema(kind.fields)).to_pylist()
    found = kind.stored(row)
    assert found is not None
    return found


def test_pictures_survive_the_table_to_the_bit() -> None:
    kind = results.of(task("sketch_to_image"))
    drawn = torch.rand(2, 3, 8, 8)
    pixels = kind.array(drawn)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, (drawn * 255).round().permute(0, 2, 3, 1).numpy())
    assert np.array_equal(back(kind, kind.value(pixels[0], None)), pixels[0])
    assert kind.reference == "image"
    assert kind.stored({"image": None}) is None


def test_motions_survive_the_table_to_the_bit_and_end_with_their_music() -> None:
    kind = results.of(task("music_to_dance"))
    poses = kind.array(torch.from_numpy(np.stack([DANCE, DANCE + 1])))
    assert np.array_equal(back(kind, kind.value(poses[1], 45)), DANCE[:45] + 1)
    columns = kind.columns(kind.value(poses[0], None))
    assert {k: v for k, v in columns.items() if k != "motion"} == {"n_frames": 60, "n_joints": 22, "fps": 30.0}
    assert kind.reference == "motion"


@pytest.mark.parametrize(("heard", "expected"), [(None, 300), (3.0, 90), (100.0, 300), (0.01, 1)])
def test_a_dance_is_as_long_as_its_music_or_as_asked(heard: float | None, expected: int) -> None:
    kind = results.of(task("music_to_dance", "task.options.seconds=10"))
    wave = None if heard is None else np.zeros(round(heard * RATE), np.float32)
    assert kind.size({"music": wave, "text": "salsa"}) == expected


def test_inputs_are_fitted_to_the_size_of_a_result() -> None:
    dance, image = results.of(task("music_to_dance")), results.of(task("sketch_to_image"))
    assert len(dance.fitted("audio", np.zeros(5 * RATE, np.float32), 45)) == round(1.5 * RATE)
    assert len(dance.fitted("motion", DANCE, 45)) == 45
    assert dance.fitted("times", np.array([0.5, 1.4, 1.6]), 45).tolist() == [0.5, 1.4]
    assert image.fitted("sketch", np.zeros((4, 8), np.uint8), 16).shape == (16, 16)
    for kind in (dance, image):
        assert kind.fitted("text", "salsa", 45) == "salsa"


def test_what_does_not_end_is_no_number_in_the_table() -> None:
    kind = results.of(task("music_to_dance"))
    assert np.isfinite(kind.array(torch.full((1, 2, 22, 3), torch.nan))).all()


@pytest.mark.parametrize("seconds", ["0", "null", "long"])
def test_dances_need_a_length(seconds: str) -> None:
    with pytest.raises(SettingsError, match=r"task\.options\.seconds must be a number of seconds"):
        results.of(task("music_to_dance", f"task.options.seconds={seconds}"))


def test_a_motion_is_read_in_either_form() -> None:
    exact = DANCE.astype(np.float16)
    for cell in (exact.astype(np.float32).ravel().tolist(), exact.tobytes()):
        found = stored.decode(cell)
        assert found is not None
        assert np.array_equal(found, exact.astype(np.float32))
    assert stored.decode(None) is stored.decode([]) is stored.decode(b"") is None


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ([0.0] * 67, "67 values, which are no whole frames of 22 joints"),
        (b"x" * 131, "no whole frames"),
        ([float("nan")] * 66, "no finite number"),
        ([None] * 66, "no finite number"),
        (["a"] * 66, "no numbers"),
        (np.full(66, np.inf, np.float16).tobytes(), "no finite number"),
        ([0.0] * 66 * 61, "lasts 2 s; at most 2 s"),
    ],
)
def test_what_is_no_motion_is_refused(cell: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        stored.decode(cell, seconds=2)


def test_times_ascend_and_are_finite() -> None:
    decode = KINDS["times"].decode
    assert decode([2.0, 0.5]).tolist() == [0.5, 2.0]
    assert decode(None) is decode([]) is None
    with pytest.raises(MediaError, match="no finite"):
        decode([0.0, float("nan")])
    assert judged({"a": "audio", "b": "times", "c": "motion"}) == ("a", "c")


def test_what_is_shown_of_dances_and_music_is_wide_and_moves() -> None:
    kind = results.of(task("music_to_dance"))
    beats = {"beats": np.array([0.5, 1.0])}
    seen = kind.preview(DANCE, beats)
    assert seen.shape[1] > 2 * seen.shape[0]
    assert not np.array_equal(seen, kind.preview(DANCE, {}))
    assert (kind.moving(DANCE, beats) or b"").startswith(b"GIF8")
    assert results.of(task("sketch_to_image")).moving(np.zeros((4, 4, 3), np.uint8), {}) is None
    picture = spectrogram.picture(music(2, 3.0))  # a click each half second
    marks = np.flatnonzero((picture[-1] == spectrogram.MARK).all(-1)) / spectrogram.WIDTH * 3.0
    assert np.diff(marks) == pytest.approx(0.5, abs=3 / FPS)
