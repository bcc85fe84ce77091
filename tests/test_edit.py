"""Scores of edited pictures, on pictures whose answer is known."""

import numpy as np
import pytest

from pipeline.scores import Sample
from pipeline.scores.edit import changed, clip_direction, kept

BLACK, WHITE = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
MASK = np.zeros((8, 8), np.uint8)
MASK[:, :4] = 255
X, Y = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def half() -> np.ndarray:
    made = BLACK.copy()
    made[:, :4] = 255
    return made


def test_only_what_the_mask_frees_has_changed() -> None:
    sample = Sample(half(), {"source": BLACK, "mask": MASK}, X, {})
    assert kept(sample) == 0
    assert changed(sample) == pytest.approx(100, abs=0.1)  # from black to white, in L*


def test_without_a_mask_all_is_free() -> None:
    sample = Sample(half(), {"source": BLACK}, X, {})
    assert np.isnan(kept(sample))
    assert changed(sample) == pytest.approx(50, abs=0.1)
    assert np.isnan(changed(Sample(WHITE, {}, X, {})))


def test_the_direction_is_that_of_the_words() -> None:
    given = {"source": X, "caption": X, "text": Y}
    assert clip_direction(Sample(WHITE, {}, Y, given)) == pytest.approx(1)
    assert clip_direction(Sample(WHITE, {}, 2 * X - Y, given)) == pytest.approx(-1)
    assert np.isnan(clip_direction(Sample(WHITE, {}, X, given)))  # nothing changed
    assert np.isnan(clip_direction(Sample(WHITE, {}, Y, {"source": X, "text": Y})))
