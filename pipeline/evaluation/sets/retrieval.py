"""Retrieval: does a result find its own input among all inputs of the slice, and an input its result?"""

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

    The candidates are the inputs that have it, each once, and their results ask. Of a condition also the other way, it
    asks for its own among one result of each input: `r1_by_text`; and, as what real results reach with this judge, the
    references ask in place of the results: `r1_text_real`. There is no figure for k that is not below the number of
    candidates. Intervals are bootstraps over inputs, with the candidates as given.
    """
    found = _recalls("reference", *sets.against(sets.reference))
    real = np.isfinite(sets.reference).all(1, keepdims=True)
    for role, features in sets.conditions.items():
        results, candidates = sets.against(features)
        both = np.where(real, features, np.nan)
        references = dataclasses.replace(sets, result=sets.reference).against(both)
        found |= _recalls(role, results, candidates)
        found |= _recalls(f"by_{role}", candidates, results.one_each())
        found |= _recalls(f"{role}_real", references[0].one_each(), references[1])
    return found


def _recalls(name: str, asking: Rows, candidates: Rows) -> dict[str, Estimate]:
    n = candidates.inputs
    found: dict[str, Estimate] = {}
    ranked = ranks(asking, candidates) if n > 1 else np.zeros(0)
    for k in (k for k in KS if k < n):
        share = intervals.share((ranked <= k).astype(np.float64), asking.source_id, asking.together)
        found[f"r{k}_{name}"] = Recall(**dataclasses.asdict(share), chance=k / n)
    return found


def ranks(asking: Rows, candidates: Rows) -> NDArray[np.int64]:
    """Rank [N] of each row's own input among the candidates (one each), from 1. Ties count against it: an input
    whose caption others share is not found before them. Holds BLOCK x candidates similarities at a time."""
    place = {source: i for i, source in enumerate(candidates.source_id)}
    own = np.array([place[source] for source in asking.source_id])
    ask, asked = unit(asking.features.astype(np.float64)), unit(candidates.features.astype(np.float64))
    found = []
    for rows in blocks(len(own)):
        similar = (ask[rows] @ asked.T).astype(np.float32)  # equal candidates are equal in float32
        found.append((similar >= np.take_along_axis(similar, own[rows, None], 1)).sum(1))
    return np.concatenate(found)
