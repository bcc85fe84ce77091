"""The beat that a body dances: where its limbs come to rest, again and again.

Music for a dance is made on this grid (accompaniment.py). Partners share one song, so it is tracked on both bodies:
on one alone the other would be no better than chance.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from pipeline.motion import beats as tracking
from pipeline.motion.skeleton import ANKLES, FPS, TOES, Poses

Curve = NDArray[np.float64]  # [N]

RATE = 4 * FPS  # frames a second of curves: a beat falls between two frames
WEIGHTS = dict.fromkeys([*ANKLES, *TOES], 2.0) | dict.fromkeys([18, 19, 20, 21, 0, 15], 1.0)  # feet; arms, pelvis, head
JITTER, POSE, BEAT = 0.02, 0.05, 0.35  # seconds, Gaussian: of positions, of speed, of what speed is compared with
TIGHTNESS = 30.0  # as in beats.py: an accompanist follows a dancer, so intervals may vary by about 5 %
WIDTHS = 2.0  # of the prior: tempi further from its median are not considered


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """Beats of a dance."""

    beats: tracking.Beats  # seconds from its beginning
    downbeat: int  # beats[downbeat], beats[downbeat + metre], … begin a bar
    metre: int  # beats in a bar

    @property
    def bpm(self) -> float:
        """Beats a minute."""
        return float(60 * (len(self.beats) - 1) / (self.beats[-1] - self.beats[0]))


def follow(dancers: Sequence[Poses], prior: tracking.Prior, metre: int) -> Rhythm:
    """The rhythm that dancers share, as long as the shortest of them dances."""
    speeds = [speed(poses) for poses in dancers]
    shortest = min(map(len, speeds))
    envelope = np.sum([stillness(s)[:shortest] for s in speeds], axis=0)
    bpm = (prior.bpm * np.exp(-WIDTHS * prior.width), prior.bpm * np.exp(WIDTHS * prior.width))
    found = tracking.track(envelope, RATE, bpm, prior, TIGHTNESS)
    return Rhythm(found, _downbeat(found, np.sum([s[:shortest] for s in speeds], axis=0), metre), metre)


def speed(poses: Poses) -> Curve:
    """Mean speed [4 T] in m/s of the joints in WEIGHTS."""
    fine = np.arange(0, len(poses) - 1, FPS / RATE) / FPS
    joints = CubicSpline(np.arange(len(poses)) / FPS, poses[:, list(WEIGHTS)], axis=0)(fine)
    joints = gaussian_filter1d(joints, JITTER * RATE, axis=0)
    speeds = np.linalg.norm(np.gradient(joints, 1 / RATE, axis=0), axis=-1)
    return gaussian_filter1d(np.average(speeds, axis=1, weights=list(WEIGHTS.values())), POSE * RATE)


def stillness(speeds: Curve) -> Curve:
    """How much slower than around it the body is, >= 0, in standard deviations: high on a beat."""
    slower = gaussian_filter1d(speeds, BEAT * RATE) - speeds
    return np.maximum(slower, 0) / (slower.std() + 1e-9)


def _downbeat(beats: tracking.Beats, speeds: Curve, metre: int) -> int:
    """The first beat of a bar: step dances rest on the last beat of the one before."""
    frames = np.minimum((beats * RATE).astype(int), len(speeds) - 1)
    moved = [speeds[a : max(b, a + 1)].mean() for a, b in itertools.pairwise(frames)]
    rests = [np.mean(moved[phase::metre]) if moved[phase::metre] else np.inf for phase in range(metre)]
    return (int(np.argmin(rests)) + 1) % metre


def loudness(poses: Poses) -> Curve:
    """How loud the music is [T], 0.7 to 1.25: it swells with the dancer over a second or two."""
    speeds = np.interp(np.arange(len(poses)) / FPS, np.arange(len(fine := speed(poses))) / RATE, fine)
    swell = gaussian_filter1d(speeds, FPS)
    return np.clip(0.75 + 0.25 * swell / (np.median(swell) + 1e-9), 0.7, 1.25)
