"""Beats of music and of motion, and how far they agree.

Beats are times in seconds, increasing. `track` finds them in any envelope that is high where a beat is: the onset
strength of music, the stillness of a body. `kinematic` finds where a dancer's limbs come to rest. `alignment` is the
Beat Alignment Score of the field; it says little beside its `null`, the same music out of phase with the same dance.

scipy is imported when it is needed: every command line imports this module, and must answer at once.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.motion.skeleton import Poses

Beats = NDArray[np.float64]  # [N], seconds
Envelope = NDArray[np.floating]  # [T], >= 0

BPM = (55.0, 215.0)  # tempi that `track` considers
TIGHTNESS = 100.0  # what a beat off the tempo costs, in standard deviations of the envelope (Ellis 2007: alpha)
LEVELS = (1, 2, 4)  # beats ahead at which the envelope should repeat: also half and whole bars
STILLNESS_FRAMES = 2.0  # Gaussian smoothing of the joint speed before its minima are taken, at 30 fps
SIGMA = 0.1  # seconds: 3 frames at 30 fps
PHASES = np.arange(32) / 32 - 0.5  # shifts of the music that make the null, in beat intervals


class Prior(NamedTuple):
    """Log-normal prior of a tempo: its median in beats a minute, its width in natural logarithms (0.7: an octave)."""

    bpm: float = 120.0
    width: float = 0.6


ANY_TEMPO = Prior()


def track(
    envelope: Envelope,
    fps: float,
    bpm: tuple[float, float] = BPM,
    prior: Prior = ANY_TEMPO,
    tightness: float = TIGHTNESS,
) -> Beats:
    """Beats of an envelope [T], of which frame i is at i / fps seconds (Ellis 2007, "Beat tracking by dynamic
    programming"): the times that lie on its peaks and are evenly spaced at its `tempo`, the more so the greater the
    `tightness`. None where it is constant."""
    if len(envelope) < 2 or not np.ptp(envelope):
        return np.zeros(0)
    period = 60 * fps / tempo(envelope, fps, bpm, prior)
    strength = smoothed(envelope / envelope.std(), period / 32)
    best, before = _chains(strength, period, tightness)
    last = max(0, len(best) - round(period))
    frame = last + int(best[last:].argmax())
    frames = []
    while frame >= 0:
        frames.append(frame)
        frame = int(before[frame])
    return (frames + _peak_offsets(strength, np.array(frames)))[::-1] / fps


def tempo(envelope: Envelope, fps: float, bpm: tuple[float, float] = BPM, prior: Prior = ANY_TEMPO) -> float:
    """Beats a minute within `bpm`: where the autocorrelation of the envelope [T] at one, two and four beats, weighted
    by the prior, is highest (Ellis 2007, eqs. 6-7). Of a clip of a few seconds good to about 1 %."""
    z = envelope - envelope.mean()
    spectrum = np.fft.rfft(z, 2 * len(z))
    repeats = np.fft.irfft(np.abs(spectrum) ** 2)[: len(z)]
    candidates = np.exp(np.arange(np.log(bpm[0]), np.log(bpm[1]), 0.002))
    lags, ends = 60 * fps / candidates, np.arange(len(z))
    support = sum(np.interp(k * lags, ends, repeats, right=0.0) / np.sqrt(k) for k in LEVELS)
    weight = np.exp(-0.5 * (np.log(candidates / prior.bpm) / prior.width) ** 2)
    return float(candidates[(weight * np.maximum(support, 1e-6 * repeats[0])).argmax()])


def kinematic(poses: Poses) -> NDArray[np.int64]:
    """Frames at which the mean joint speed of a motion [T, 22, 3] has a local minimum, after Gaussian smoothing."""
    if len(poses) < 3:
        return np.zeros(0, np.int64)
    from scipy.signal import find_peaks

    speed = np.linalg.norm(np.gradient(poses.astype(np.float64), axis=0), axis=-1).mean(-1)
    return np.asarray(find_peaks(-smoothed(speed, STILLNESS_FRAMES))[0], np.int64)


def smoothed(values: NDArray[Any], sigma: float, **options: Any) -> NDArray[Any]:
    """Values after a Gaussian filter of that width, along their last axis or as scipy's `options` say."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(values, sigma, **options))


def alignment(kinematic_beats: Beats, beats: Beats, sigma: float = SIGMA) -> float:
    """Beat Alignment Score, in [0, 1]: mean over the kinematic beats [K] of exp(-dt^2 / (2 sigma^2)), dt to the nearest
    beat of the music [N], all in seconds. NaN where either has none.

    The mean is over the *kinematic* beats, as in FACT (Li et al. 2021, eq. 10), EDGE and POPDG; Bailando and LODGE take
    it over the music's. sigma is 3 frames in all of them, 0.05 s at their 60 fps.
    """
    if not len(kinematic_beats) or not len(beats):
        return float("nan")
    gaps = np.abs(kinematic_beats[:, None] - beats[None]).min(1)
    return float(np.exp(-(gaps**2) / (2 * sigma**2)).mean())


def null(kinematic_beats: Beats, beats: Beats, sigma: float = SIGMA) -> float:
    """The mean `alignment` to the same beats out of phase: moved through a whole beat interval in PHASES steps. What
    this dance scores with music of this tempo that it does not follow; NaN for fewer than two beats.

    The beats are carried on by one at either end, so that no part of the dance is left without. On real dances it
    is within 0.01 of what pairs shuffled within their genre score (docs/motion.md).
    """
    if len(beats) < 2:
        return float("nan")
    interval = float(np.median(np.diff(beats)))
    carried = np.concatenate([[beats[0] - interval], beats, [beats[-1] + interval]])
    return float(np.mean([alignment(kinematic_beats, carried + phase * interval, sigma) for phase in PHASES]))


def _chains(
    strength: NDArray[np.float64], period: float, tightness: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each frame the score of the best chain of beats that ends there, and the beat before it (-1: none)."""
    steps = np.arange(max(1, round(period / 2)), round(2 * period) + 1)
    cost = tightness * np.log(steps / period) ** 2
    best, before = strength.copy(), np.full(len(strength), -1)
    for frame in range(steps[0], len(strength)):
        reach = steps[: np.searchsorted(steps, frame, side="right")]
        scores = best[frame - reach] - cost[: len(reach)]
        if scores.max() > 0:
            best[frame] += scores.max()
            before[frame] = frame - reach[scores.argmax()]
    return best, before


def _peak_offsets(strength: NDArray[np.float64], frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where between frames the parabola through a peak and its neighbours is highest, in frames from the peak."""
    around = np.clip(frames[:, None] + (-1, 0, 1), 0, len(strength) - 1)
    left, top, right = strength[around].T
    bend = left - 2 * top + right
    is_peak = (bend < 0) & (top >= left) & (top >= right)
    return np.where(is_peak, 0.5 * (left - right) / np.where(is_peak, bend, 1), 0.0)
