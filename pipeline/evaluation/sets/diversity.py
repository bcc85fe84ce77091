"""Diversity of results: how far apart they are, between inputs and, where inputs have several, within one."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Rows, Sets, pairs

LEAST = 3  # inputs or groups of them: two must be left when one is left out


def diversity(sets: Sets) -> Mapping[str, Estimate]:
    """Mean cosine distance, in [0, 2].

    `diversity`: over pairs of results of different inputs (delete-group jackknife over inputs). `diversity_within`:
    over pairs of results of one input, then over the inputs that have several (bootstrap over these): what the noise
    alone decides.
    """
    rows = sets.rows(sets.result).unit()
    within, names = _within(rows)
    found = {"diversity_within": intervals.mean(within, names, sets.together)} if len(names) > 1 else {}
    if rows.units < LEAST:
        return found
    grouped = pairs.Grouped.of(rows)
    sums = pairs.sums(pairs.of_products(lambda cosine: 1 - cosine), grouped, grouped)
    return {"diversity": intervals.jackknife_sums(lambda total: total[0] / total[1], sums, rows.inputs), **found}


def _within(rows: Rows) -> tuple[NDArray[np.float64], list[str]]:
    """Mean distance of the pairs of each input that has several results, and these inputs."""
    names, own, counts = np.unique(rows.source_id, return_inverse=True, return_counts=True)
    total, squares = np.zeros((len(names), rows.features.shape[1])), np.zeros(len(names))
    np.add.at(total, own, rows.features)
    np.add.at(squares, own, np.square(rows.features, dtype=np.float64).sum(1))
    several = counts > 1
    count = counts[several]
    # The products of all pairs add up to |sum|^2, of which those with themselves are no pairs.
    alike = (np.square(total[several]).sum(1) - squares[several]) / (count * (count - 1))
    return 1 - alike, names[several].tolist()
