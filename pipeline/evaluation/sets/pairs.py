"""Sums of a kernel over all pairs of rows, by pair of jackknife groups: one pass gives a figure and its interval."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.sets import Features, Rows, blocks

Kernel = Callable[[Features, Features], NDArray[Any]]  # rows [N, D] and [M, D] -> values [N, M] of their pairs
HEIGHT = 1024  # rows of a group that are multiplied at a time


def of_products(function: Callable[[Features], Features]) -> Kernel:
    """The kernel that is a function of two rows' inner product."""
    return lambda a, b: function(a @ b.T)


@dataclasses.dataclass(frozen=True)
class Grouped:
    """Rows in the order of their inputs' jackknife groups."""

    features: Features  # [N, D]
    own: NDArray[np.int64]  # [N], number of each row's input
    bounds: NDArray[np.int64]  # [G + 1], group g is rows bounds[g] to bounds[g + 1]

    @classmethod
    def of(cls, rows: Rows) -> "Grouped":
        """Of rows in any order; rows of the same inputs get the same groups."""
        group = intervals.groups(rows.source_id, rows.together)
        order = np.argsort(group, kind="stable")
        own = np.unique(rows.source_id, return_inverse=True)[1]
        bounds = np.searchsorted(group[order], np.arange(group.max() + 2))
        return cls(rows.features[order], own[order], bounds)


def sums(kernel: Kernel, a: Grouped, b: Grouped) -> NDArray[np.float64]:
    """Sums and numbers of pairs [2, G, G], entry (g, h) over the pairs of a row of a in group g with a row of b in
    group h. If both are one and the same object, over pairs of different inputs only: rows of one input are not
    independent. Holds HEIGHT x N / G values at a time."""
    count = len(a.bounds) - 1
    found = np.zeros((2, count, count))
    for g, h in itertools.product(range(count), repeat=2):
        found[:, g, h] = found[:, h, g] if a is b and h < g else _block(kernel, a, b, (g, h))
    return found


def _block(kernel: Kernel, a: Grouped, b: Grouped, at: tuple[int, int]) -> tuple[float, int]:
    (top, bottom), (left, right) = a.bounds[at[0] : at[0] + 2], b.bounds[at[1] : at[1] + 2]
    total, pairs = 0.0, 0
    for rows in blocks(bottom - top, HEIGHT):
        height = slice(top + rows.start, top + rows.stop)
        values = kernel(a.features[height], b.features[left:right])
        if a is b and at[0] == at[1]:  # an input's rows are all in one group
            values = values[a.own[height, None] != a.own[None, left:right]]
        total += float(values.sum(dtype=np.float64))
        pairs += values.size
    return total, pairs
