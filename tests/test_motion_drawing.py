"""Pictures of dances: what stands where, in which colour."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageSequence

from pipeline.motion import drawing
from pipeline.motion.skeleton import FPS, JOINTS, Poses, mirror
from tests.dancer import along, moved, real, standing


def where(picture: np.ndarray, colour: str) -> np.ndarray:
    """Columns of the pixels of a colour."""
    return np.nonzero((picture == ImageColor.getrgb(colour)).all(-1))[1]


def turned(poses: Poses, angle: float) -> Poses:
    """The dancer turned about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return (poses @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 1, 2.5, -2])
def test_the_dancer_faces_the_viewer_whichever_way_it_stands(angle: float) -> None:
    picture = drawing.strip(turned(standing(), angle), frames=1, size=(200, 200))
    assert where(picture, drawing.SIDES["l"]).mean() > where(picture, drawing.SIDES["r"]).mean() + 10


def test_a_mirrored_dancer_is_drawn_in_the_other_colours() -> None:
    dance = real()["pop"]
    areas = [
        [len(where(drawing.strip(poses), drawing.SIDES[side])) for side in sides]
        for poses, sides in ((dance, "lr"), (mirror(dance), "rl"))
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.3)


def test_a_strip_shows_as_many_dancers_as_asked_and_a_bar_on_each_beat() -> None:
    dance = moved(standing(90), *JOINTS, by=along(0, np.zeros(90)))
    bare, beaten = (
        drawing.strip(dance, frames=4, size=(800, 200)),
        drawing.strip(dance, np.array([0.5, 1.5]), 4, (800, 200)),
    )
    columns = np.unique(where(bare, drawing.SIDES["l"]))
    assert (np.diff(columns) > 20).sum() == 3
    changed = np.nonzero((bare != beaten).any((0, 2)))[0]
    assert changed.min() == pytest.approx(800 * 0.5 / 3, abs=4)
    assert changed.max() == pytest.approx(800 * 1.5 / 3, abs=4)


@pytest.mark.parametrize("frames", [0, 1, 2, 5])
def test_short_motions_are_drawn_as_well(frames: int) -> None:
    poses = standing(frames)
    assert drawing.strip(poses, np.zeros(0), size=(160, 80)).shape == (80, 160, 3)
    assert len(list(drawing.pictures(poses, np.zeros(0), size=64))) == frames
    assert Image.open(io.BytesIO(drawing.animation(poses, size=64))).size == (64, 64)


def test_an_animation_lasts_as_long_as_the_dance_and_is_small() -> None:
    dance = real()["salsa"]
    data = drawing.animation(dance, np.array([0.5, 1.0]))
    picture = Image.open(io.BytesIO(data))
    seconds = sum(frame.info["duration"] for frame in ImageSequence.Iterator(picture)) / 1000
    assert picture.format == "GIF"
    assert seconds == pytest.approx(len(dance) / FPS, rel=0.1)
    assert len(data) < 60_000


def test_a_dancer_who_travels_stays_in_the_picture() -> None:
    gone = moved(standing(120), *JOINTS, by=along(2, np.linspace(0, 12, 120)))
    for picture in drawing.pictures(gone, size=96, fps=3):
        assert len(where(np.asarray(picture), drawing.SIDES["l"])) > 20
