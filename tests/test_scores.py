import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image, ImageDraw

from pipeline.media import Pixels
from pipeline.scores import Sample, colour, similarity, sketch


def drawing(shift: int = 0, fill: str = "yellow") -> tuple[Pixels, Pixels]:
    """(RGB disc with a black outline, its grey outline)."""
    rgb, grey = Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64), 255)
    box = (12 + shift, 12, 46 + shift, 46)
    ImageDraw.Draw(rgb).ellipse(box, fill, "black", 2)
    ImageDraw.Draw(grey).ellipse(box, None, 0, 2)
    return np.asarray(rgb), np.asarray(grey)


def sample(result: Pixels, **inputs: Pixels | str) -> Sample:
    unit = np.array([1.0, 0.0], np.float32)
    return Sample(result, inputs, unit, {role: np.array([0.6, 0.8], np.float32) for role in inputs})


def test_a_drawing_is_faithful_to_its_own_sketch_and_not_to_another() -> None:
    rgb, grey = drawing()
    assert sketch.sketch_f1(grey, rgb) > 0.95
    assert sketch.sketch_f1(drawing(shift=12)[1], rgb) < 0.6


def test_one_pixel_is_tolerated_and_fidelity_falls_with_distance() -> None:
    rgb, _ = drawing()
    values = [sketch.sketch_f1(drawing(shift=s)[1], rgb) for s in (0, 1, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[1] > 0.9


def test_colours_inside_the_lines_do_not_matter() -> None:
    grey = drawing()[1]
    values = [sketch.sketch_f1(grey, drawing(fill=c)[0]) for c in ("yellow", "white", "orange")]
    assert max(values) - min(values) < 0.1


masks = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=6, max_size=6).map(np.array)


@given(masks, masks)
@settings(max_examples=60)
def test_f1_is_symmetric_bounded_and_one_for_equals(a: np.ndarray, b: np.ndarray) -> None:
    assert 0 <= sketch.f1(a, b) <= 1
    assert sketch.f1(a, b) == pytest.approx(sketch.f1(b, a))
    assert sketch.f1(a, a) == 1


def test_f1_in_closed_form() -> None:
    a, b = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    a[4, :], b[4, :3] = True, True  # of a, the first four pixels are near b; of b, all are near a
    recall, precision = 4 / 9, 1.0
    assert sketch.f1(a, b) == pytest.approx(2 * recall * precision / (recall + precision))
    assert sketch.f1(a, np.zeros((9, 9), bool)) == 0
    assert sketch.f1(np.zeros((9, 9), bool), np.zeros((9, 9), bool)) == 1


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        sketch.sketch_f1(np.zeros((8, 8), np.uint8), np.zeros((9, 9, 3), np.uint8))


def test_colour_error_is_zero_for_equals_and_known_for_grey() -> None:
    rgb, _ = drawing()
    assert colour.colour_error(rgb, rgb) == 0
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert colour.colour_error(white, black) == pytest.approx(100, abs=0.01)  # L* from 0 to 100


def test_colour_error_ignores_the_white_ground() -> None:
    reference, _ = drawing()
    result = reference.copy()
    result[:8] = 0
    assert colour.colour_error(result, reference) == 0
    assert math.isnan(colour.colour_error(result, np.full((64, 64, 3), 255, np.uint8)))


def test_scores_of_missing_inputs_are_nan() -> None:
    rgb, grey = drawing()
    alone = sample(rgb)
    for score in (similarity.text, similarity.sketch, similarity.image, sketch.fidelity, colour.delta_e):
        assert math.isnan(score(alone))
    whole = sample(rgb, text="a disc", sketch=grey, image=rgb)
    assert similarity.text(whole) == pytest.approx(0.6)
    assert sketch.fidelity(whole) > 0.95
    assert colour.delta_e(whole) == 0
