"""Scores of dances as the pipeline calls them."""

import math
from typing import Any

import numpy as np
import pytest

from pipeline.motion import beats, physics
from pipeline.motion.skeleton import FPS, Poses
from pipeline.scores import Sample, motion, similarity
from pipeline.sound import RATE
from tests.dancer import along, moved, real, standing

SECONDS = 8
NODS = np.arange(0.25, SECONDS, 0.5)  # when the dancer below rests: twice a second


def nodding() -> Poses:
    """A dancer whose head goes up and down once a second."""
    time = np.arange(SECONDS * FPS) / FPS
    return moved(standing(len(time)), "head", "neck", by=along(1, 0.1 * np.sin(2 * np.pi * time)))


def clicks(times: np.ndarray) -> np.ndarray:
    """A waveform with a short noise at each time."""
    wave, rng = np.zeros(SECONDS * RATE, np.float32), np.random.default_rng(0)
    for start in (times * RATE).astype(int):
        wave[start : start + 800] = rng.normal(0, 0.2, 800) * np.linspace(1, 0, 800)
    return wave


def sample(poses: Poses, **inputs: Any) -> Sample:
    unit = np.array([1.0, 0.0], np.float32)
    return Sample(poses, inputs, unit, {role: np.array([0.6, 0.8], np.float32) for role in inputs})


def test_a_dance_on_stored_beats_is_aligned_and_out_of_phase_it_is_not() -> None:
    on, off = sample(nodding(), beats=NODS), sample(nodding(), beats=NODS + 0.25)
    assert motion.beat_alignment(on) == pytest.approx(1, abs=0.02)
    assert motion.beat_alignment(off) == pytest.approx(math.exp(-0.5 * 2.5**2), abs=0.03)
    assert motion.beat_alignment_null(on) == pytest.approx(motion.beat_alignment_null(off), abs=0.01)
    assert motion.beat_alignment(off) < motion.beat_alignment_null(on) < 0.6


def test_beats_are_heard_in_the_music_where_none_are_stored() -> None:
    heard = sample(nodding(), music=clicks(NODS))
    assert motion.beat_alignment(heard) > 0.9
    assert motion.beat_alignment(sample(nodding(), music=clicks(NODS), beats=NODS + 0.25)) < 0.1
    assert math.isnan(motion.beat_alignment(sample(nodding(), music=np.zeros(RATE, np.float32))))


def test_a_score_without_what_it_needs_is_nan() -> None:
    alone = sample(nodding())
    for score in (motion.beat_alignment, motion.beat_alignment_null, similarity.music, similarity.text):
        assert math.isnan(score(alone))
    assert math.isnan(motion.beat_alignment(sample(standing(), beats=NODS)))


def test_similarities_are_cosines_in_the_judge_s_space() -> None:
    both = sample(nodding(), music=clicks(NODS), text="a person nods")
    assert similarity.music(both) == pytest.approx(0.6)
    assert similarity.text(both) == pytest.approx(0.6)


def test_real_dances_have_what_the_documentation_says_of_them() -> None:
    for poses in real().values():
        made = sample(poses)
        assert motion.foot_contact(made) == physics.foot_contact(poses) < 2
        assert 0 <= motion.foot_skating(made) < 0.7
        assert motion.bone_deviation(made) < 0.005
        assert 50 < motion.jerk(made) < 500
        assert len(beats.kinematic(poses)) >= 2
