"""Means of many scores with bootstrap intervals over inputs, in one pass and in pieces that merge.

The bootstrap is Poisson's (Hanley & MacGibbon 2006): in each of DRAWS draws an input counts as often as a Poisson(1)
number says that is drawn from its id. So an input weighs the same wherever its rows are met, sums are all that is
kept, and neither the order of merging nor what lies in which piece changes a figure.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import LEVEL, Estimate
from pipeline.seeds import digest

DRAWS = 1000
Array = NDArray[np.float64]


def multiplicities(inputs: Sequence[str]) -> NDArray[np.uint8]:
    """How often each input is drawn, [I, DRAWS], from its id alone.

    Its uniform numbers are those of SplitMix64 (Steele et al. 2014) seeded with a hash of the id, which numpy makes
    for many inputs at once; a generator of numpy's for each would take longer than all the rest.
    """
    seeds = np.array([int.from_bytes(digest("bootstrap", name, size=8), "little") for name in inputs], np.uint64)
    steps = np.arange(1, DRAWS // 4 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = seeds.reshape(-1, 1) + steps
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return np.asarray(_poisson()[z.view(np.uint16)])


@functools.cache
def _poisson() -> NDArray[np.uint8]:
    """Poisson(1) number of each uniform 16-bit number."""
    chances = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(10)])
    return np.searchsorted(chances, (np.arange(65536) + 0.5) / 65536).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Tally:
    """Sums over inputs of S scores, each input with the mean of its rows."""

    count: Array  # [S] inputs that have the score
    total: Array  # [S]
    squares: Array  # [S]
    weight: Array  # [DRAWS, S] inputs as often as they are drawn
    weighted: Array  # [DRAWS, S]

    @classmethod
    def of(cls, values: Array, drawn: NDArray[np.uint8]) -> "Tally":
        """Of inputs' values [I, S], NaN where missing, and their `multiplicities` [I, DRAWS]."""
        there = np.isfinite(values)
        x, w = np.where(there, values, 0.0), drawn.astype(np.float64)
        return cls(there.sum(0).astype(np.float64), x.sum(0), (x * x).sum(0), w.T @ there, w.T @ x)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))

    def estimates(self) -> list[Estimate]:
        """Mean and interval of each score; NaN where no input has it."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.weighted / self.weight
        return [self._estimate(s, means[:, s]) for s in range(len(self.count))]

    def deviations(self) -> Array:
        """Standard deviation [S] over inputs; NaN for fewer than two."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = (self.squares - self.total**2 / self.count) / (self.count - 1)
        return np.asarray(np.where(self.count > 1, np.sqrt(np.clip(spread, 0, None)), np.nan))

    def _estimate(self, score: int, means: Array) -> Estimate:
        n, drawn = int(self.count[score]), means[np.isfinite(means)]
        if not n:
            return Estimate(math.nan, math.nan, math.nan, 0)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(float(self.total[score] / n), float(low), float(high), n)


def by_input(values: NDArray[np.floating], inputs: NDArray[np.int64], count: int) -> Array:
    """Means [I, S] over the finite values [N, S] of each input's rows; `inputs` [N] says whose a row is."""
    there = np.isfinite(values)
    sums, counts = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, inputs, np.where(there, values, 0.0))
    np.add.at(counts, inputs, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / counts)
