"""Beats of music and motion, against signals whose beats are known."""

import math

import numpy as np
import pytest

from pipeline.motion import beats
from pipeline.motion.skeleton import FPS, JOINTS


def clicks(bpm: float, seconds: float, first: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """(envelope at FPS with a bump on each beat, the beats)."""
    times, truth = np.arange(round(seconds * FPS)) / FPS, np.arange(first, seconds - 0.1, 60 / bpm)
    return np.exp(-0.5 * ((times[:, None] - truth) / 0.04) ** 2).sum(1), truth


def bounce(hertz: float, seconds: float = 4.0) -> np.ndarray:
    """A body that goes up and down as a sine: it rests at the top and at the bottom."""
    times = np.arange(round(seconds * FPS)) / FPS
    poses = np.random.default_rng(0).normal(size=(1, len(JOINTS), 3)).repeat(len(times), 0)
    poses[..., 1] += 0.1 * np.sin(2 * np.pi * hertz * times)[:, None]
    return poses.astype(np.float32)


@pytest.mark.parametrize("bpm", [72, 96, 120, 165])
def test_clicks_are_found_between_the_frames_on_which_they_fall(bpm: float) -> None:
    envelope, truth = clicks(bpm, 8)
    assert beats.tempo(envelope, FPS) == pytest.approx(bpm, rel=0.01)
    found = beats.track(envelope, FPS)
    assert len(found) == len(truth)
    assert np.abs(found - truth).max() < 0.012  # a frame is 0.033 s


def test_clicks_are_found_under_noise_and_where_one_is_missing() -> None:
    envelope, truth = clicks(110, 10)
    envelope[round(truth[7] * FPS) - 4 : round(truth[7] * FPS) + 5] = 0
    envelope += np.random.default_rng(1).uniform(0, 0.4, len(envelope))
    found = beats.track(envelope, FPS)
    assert np.abs(found[:, None] - truth).min(0).max() < 0.07


def test_a_tempo_that_drifts_is_followed() -> None:
    truth = np.cumsum(np.linspace(0.55, 0.45, 16))
    times = np.arange(round((truth[-1] + 0.3) * FPS)) / FPS
    found = beats.track(np.exp(-0.5 * ((times[:, None] - truth) / 0.04) ** 2).sum(1), FPS)
    assert np.abs(found - truth).max() < 0.04  # the tempo is counted against the peaks: the last is late


def test_the_prior_chooses_among_tempi_that_fit_as_well() -> None:
    envelope, _ = clicks(80, 12)
    fast, slow = (beats.tempo(envelope, FPS, prior=beats.Prior(bpm, 0.2)) for bpm in (160, 80))
    assert fast == pytest.approx(2 * slow, rel=0.02)
    assert beats.tempo(envelope, FPS, bpm=(70, 90), prior=beats.Prior(160, 0.2)) == pytest.approx(80, rel=0.03)


def test_silence_has_no_beats() -> None:
    for envelope in (np.zeros(0), np.zeros(1), np.zeros(90), np.ones(90)):
        assert not len(beats.track(envelope, FPS))


def test_a_bounce_rests_at_its_top_and_bottom() -> None:
    frames = beats.kinematic(bounce(hertz=1.0))
    truth = np.arange(0.25, 4, 0.5) * FPS
    assert len(frames) == len(truth)
    assert np.abs(frames - truth).max() <= 0.5


def test_a_frozen_dancer_and_one_of_two_frames_have_no_beats() -> None:
    still = np.repeat(bounce(1.0)[:1], 60, axis=0)
    for poses in (still, still[:2], still[:0]):
        assert not len(beats.kinematic(poses))


def test_alignment_is_one_on_the_beat_and_falls_as_a_gaussian_off_it() -> None:
    music = np.arange(0, 5, 0.5)
    assert beats.alignment(music, music) == 1
    assert (
        beats.alignment(music[2:5], music) == 1
    )  # the mean is over kinematic beats: those that are left out cost nothing
    assert beats.alignment(music + 0.1, music) == pytest.approx(math.exp(-0.5))
    assert beats.alignment(music + 0.1, music, sigma=0.05) == pytest.approx(math.exp(-2))
    for pair in ((music, music[:0]), (music[:0], music)):
        assert math.isnan(beats.alignment(*pair))


def test_the_null_is_what_a_random_phase_scores() -> None:
    music, rng = np.arange(0.25, 30, 0.6), np.random.default_rng(2)
    phases = np.linspace(-0.3, 0.3, 4001)
    expected = np.exp(-(phases**2) / (2 * beats.SIGMA**2)).mean()
    assert beats.null(music, music) == pytest.approx(expected, abs=0.01)
    assert beats.null(music, music) < 0.5 < beats.alignment(music, music)
    unrelated = np.sort(rng.uniform(0, 30, 4000))
    assert beats.alignment(unrelated, music) == pytest.approx(beats.null(unrelated, music), abs=0.02)
    assert math.isnan(beats.null(music, music[:1]))
    assert math.isnan(beats.null(music[:0], music))
