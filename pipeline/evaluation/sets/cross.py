"""Dances and their music in the judge's space, on unit vectors times SCALE: what of a dance only its music can say.

A dance has no sound, so that its Frechet Audio Distance (Kilgour et al. 2019) is not defined. `frechet_audio` is the
Frechet distance between the music of the inputs and the dances made to it: it sees how well they are danced and is
blind to which goes with which. Between two modalities it is never 0, so `frechet_audio_real` is that of the real
dances, and `frechet_audio_excess` what the results exceed it by. `frechet_joint` (FJD, DeVries et al. 2019) is the
distance between pairs [music, result] and pairs [music, real dance]: 0 for real dances, and it sees a wrong pairing.
All of these mean nothing without the judge's hash, and grow as inputs get fewer.

`cosine_audio` is the mean cosine similarity of a result and its music, `cosine_audio_real` of a real dance and its
music. `multimodality` (Guo et al. 2022) is the mean distance between two results of one input.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Features, Rows, Sets, gaussian, unit

ROLE = "music"
SCALE = 10


def cross(sets: Sets) -> Mapping[str, Estimate]:
    """All of these, one result of each input, so that results are as many as real dances. Where LEAST inputs have both,
    over the inputs that have music and a real dance, else over those that have music."""
    music = sets.conditions.get(ROLE)
    if music is None:
        return {}
    heard, made, real = (sets.rows(SCALE * unit(features)) for features in (music, sets.result, sets.reference))
    found = _cosines("cosine_audio", heard, made) | _cosines("cosine_audio_real", heard, real) | _multimodality(made)
    for sides in ([heard, made, real], [heard, made]):
        chosen = _one_each(sides)
        if chosen[0].units >= gaussian.LEAST:
            return _distances(*chosen) | found
    return found


def _distances(heard: Rows, made: Rows, real: Rows | None = None) -> dict[str, Estimate]:
    """Of rows that stand side by side, one for each input."""
    own = gaussian.values(heard, made)
    found: dict[str, Estimate] = {"frechet_audio": gaussian.of_values(own, made)}
    if real is not None:
        least = gaussian.values(heard, real)
        found["frechet_audio_real"] = gaussian.of_values(least, real)
        found["frechet_audio_excess"] = gaussian.of_values(np.subtract(own, least).tolist(), made)
        found["frechet_joint"] = gaussian.distance(_beside(heard, made), _beside(heard, real))
    return found


def _one_each(sides: list[Rows]) -> list[Rows]:
    """One row of every input that has all sides, in each side the same."""
    whole = _beside(*sides)
    there = np.flatnonzero(np.isfinite(whole.features).all(1)).tolist()
    chosen = whole.take(there).one_each()
    parts = np.split(chosen.features, len(sides), axis=1)
    return [Rows(chosen.source_id, part, chosen.together) for part in parts]


def _beside(*sides: Rows) -> Rows:
    """Rows [N, D] of the same results as one [N, 2 D]."""
    return Rows(sides[0].source_id, np.concatenate([s.features for s in sides], axis=1), sides[0].together)


def _cosines(name: str, a: Rows, b: Rows) -> dict[str, Estimate]:
    found = intervals.mean((a.features * b.features).sum(1) / SCALE**2, a.source_id, a.together)
    return {name: found} if found.n else {}


def _multimodality(made: Rows) -> dict[str, Estimate]:
    names, own = np.unique(made.source_id, return_inverse=True)
    apart = np.array([_mean_distance(made.features[own == i]) for i in range(len(names))])
    found = intervals.mean(apart, names.tolist(), made.together)
    return {"multimodality": found} if found.n else {}


def _mean_distance(features: Features | NDArray[np.float64]) -> float:
    """Between two of the rows; NaN for one."""
    return float(pdist(features).mean()) if len(features) > 1 else float("nan")
