"""Retrieval: does a result find its own input among all inputs of the slice?"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Rows, Sets, blocks, unit

KS = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class Recall(Estimate):
    """R@k. The n inputs are the candidates, and a share without their number means nothing: compare equal n only."""

    chance: float  # what guessing reaches, k / n


def retrieval(sets: Sets) -> Mapping[str, Estimate]:
    """R@k by cosine similarity, for every condition and the reference: `r1_text`, `r5_text`, …, `r10_reference`.

    The candidates are the inputs that have it, each once, and their results ask. There is no figure for k that is not
    below the number of candidates. Intervals are bootstraps over inputs, with the candidates as given.
    """
    found: dict[str, Estimate] = {}
    for role, features in {**sets.conditions, "reference": sets.reference}.items():
        results, candidates = sets.against(features)
        n = candidates.inputs
        ranked = ranks(results, candidates) if n > 1 else np.zeros(0)
        for k in (k for k in KS if k < n):
            share = intervals.share((ranked <= k).astype(np.float64), results.source_id)
            found[f"r{k}_{role}"] = Recall(**dataclasses.asdict(share), chance=k / n)
    return found


def ranks(results: Rows, candidates: Rows) -> NDArray[np.int64]:
    """Rank [N] of each result's own input among the candidates (one each), from 1. Ties count against it: an input
    whose caption others share is not found before them. Holds BLOCK x candidates similarities at a time."""
    place = {source: i for i, source in enumerate(candidates.source_id)}
    own = np.array([place[source] for source in results.source_id])
    asking, asked = unit(results.features.astype(np.float64)), unit(candidates.features.astype(np.float64))
    found = []
    for rows in blocks(len(own)):
        similar = (asking[rows] @ asked.T).astype(np.float32)  # equal candidates are equal in float32
        found.append((similar >= np.take_along_axis(similar, own[rows, None], 1)).sum(1))
    return np.concatenate(found)
