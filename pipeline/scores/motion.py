"""Scores of a dance: does it keep the beat, could a body have danced it. (scores/similarity.py says
whether it matches its music and text.)

Beats are those stored with the input (role "beats", seconds), else tracked in its music. Definitions, with sources
and units, stand where the measures are: motion/beats.py and motion/physics.py; real dances' values in docs/motion.md.
"""

from collections.abc import Callable

import numpy as np

from pipeline import music
from pipeline.motion import beats, physics
from pipeline.motion.beats import Beats
from pipeline.motion.skeleton import FPS
from pipeline.scores import MISSING, Sample


def beat_alignment(sample: Sample) -> float:
    """Beat Alignment Score, the mean over the dance's kinematic beats; to be read beside `beat_alignment_null`."""
    return _on_beats(sample, beats.alignment)


def beat_alignment_null(sample: Sample) -> float:
    """What `beat_alignment` is when the same music plays out of phase."""
    return _on_beats(sample, beats.null)


def foot_contact(sample: Sample) -> float:
    """Physical Foot Contact score of EDGE: less is better, down to what real dances have."""
    return physics.foot_contact(sample.result)


def foot_skating(sample: Sample) -> float:
    """Share of the time that feet are on the floor in which they slide."""
    return physics.foot_skating(sample.result)


def bone_deviation(sample: Sample) -> float:
    """Mean relative change of bone lengths within the dance."""
    return physics.bone_deviation(sample.result)


def jerk(sample: Sample) -> float:
    """Mean jerk of the joints, m/s^3."""
    return physics.jerk(sample.result)


def _on_beats(sample: Sample, measure: Callable[[Beats, Beats], float]) -> float:
    heard = _beats(sample)
    return MISSING if heard is None else measure(beats.kinematic(sample.result) / FPS, heard)


def _beats(sample: Sample) -> Beats | None:
    """Beats of the input's music in seconds; None where it has neither beats nor music."""
    stored, wave = sample.inputs.get("beats"), sample.inputs.get("music")
    if stored is not None:
        return np.asarray(stored, np.float64)
    return music.beats(wave) if isinstance(wave, np.ndarray) else None
