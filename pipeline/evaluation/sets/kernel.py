"""Kernel distances between results and references: the unbiased estimate of the squared maximum mean discrepancy,

    MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j)

over pairs i != j within a set and all pairs between the sets (Gretton et al. 2012, eq. 3). Unlike a Frechet distance it
does not grow as inputs get fewer, and it may be below 0. Of an input with several results, pairs of these are left out
as well. The estimate takes the two sets for independent: where results resemble the references of their own inputs, it
is low by 2/n times what k(x_i, y_i) exceeds k(x_i, y_j) by, here as in published figures.

On features of unit length both kernels are nearly linear, and the distances nearly the squared distance between the
two means: times 3000/D (`kid_x1000`), times 10 (`cmmd`).

Kernels are given less 1, which the three means cancel: float32 then spends its digits on what differs.
Intervals: delete-group jackknife over inputs.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Features, Rows, Sets, pairs
from pipeline.evaluation.sets.pairs import Grouped, Kernel

SCALE = 1000
SIGMA = 10  # on features of unit length
LEAST = 3  # inputs or groups of them: two must be left when one is left out


def kid(sets: Sets) -> Mapping[str, Estimate]:
    """Kernel distance (Binkowski et al. 2018, KID on Inception features) with k(x, y) = (x·y / D + 1)^3, times 1000 as
    it is usually printed: `kid_x1000`. Over all rows at once, not over random subsets."""
    size = sets.result.shape[1]

    def cubic(dot: Features) -> Features:
        t = dot / size
        return t * (3 + t * (3 + t))

    results, references = sets.against(sets.reference)
    return _distance("kid_x1000", pairs.of_products(cubic), results, references)


def cmmd(sets: Sets) -> Mapping[str, Estimate]:
    """CMMD (Jayasumana et al. 2024): k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, on features brought to unit
    length, times 1000: `cmmd`. This is the paper's unbiased estimate. Its authors' program counts the pairs i = i
    within a set too, which adds about 2000/n times one less the mean k(x_i, x_j)."""

    def gaussian(cosine: Features) -> Features:
        return np.expm1((cosine - 1) / SIGMA**2)  # |x - y|^2 = 2 - 2 x·y

    results, references = sets.against(sets.reference)
    return _distance("cmmd", pairs.of_products(gaussian), results.unit(), references.unit())


def _distance(name: str, kernel: Kernel, results: Rows, references: Rows) -> Mapping[str, Estimate]:
    if references.units < LEAST:
        return {}
    x, y = Grouped.of(results), Grouped.of(references)
    sums = np.concatenate([pairs.sums(kernel, *sides) for sides in ((x, x), (y, y), (x, y))])
    return {name: intervals.jackknife_sums(_mmd, sums, references.inputs)}


def _mmd(totals: NDArray[np.float64]) -> float:
    within, within_references, between = totals[0::2] / totals[1::2]
    return float(SCALE * (within + within_references - 2 * between))
