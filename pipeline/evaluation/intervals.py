"""Bootstrap intervals over inputs: all rows of an input are drawn together, since they are not independent."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
GROUPS = 20


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float
    high: float
    n: int  # inputs

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_by_input(values: NDArray[np.floating], inputs: Sequence[str]) -> NDArray[np.float64]:
    """Mean of each input's finite values, in order of first appearance; inputs without any are left out."""
    sums: dict[str, list[float]] = {}
    for value, source in zip(values.tolist(), inputs, strict=True):
        if np.isfinite(value):
            sums.setdefault(source, []).append(value)
    return np.array([np.mean(v) for v in sums.values()])


def mean(values: NDArray[np.floating], inputs: Sequence[str], seed: int = 0) -> Estimate:
    """Mean over inputs of their rows' means. With no finite value all figures are NaN."""
    per_input = mean_by_input(values, inputs)
    if not per_input.size:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    return of(lambda index: float(per_input[index].mean()), len(per_input), seed)


def of(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0) -> Estimate:
    """A statistic of n inputs, given as a function of the indices that are drawn."""
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(statistic(np.arange(n)), float(low), float(high), n)


def jackknife(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0) -> Estimate:
    """As `of`, for statistics that are biased by inputs drawn twice, such as a Frechet distance: each of GROUPS
    groups of inputs is left out once (delete-group jackknife, Kott 2001)."""
    order = np.random.default_rng(seed).permutation(n)
    count = min(GROUPS, n)
    left_out = [statistic(np.sort(np.delete(order, np.arange(g, n, count)))) for g in range(count)]
    value = statistic(np.arange(n))
    spread = 1.96 * float(np.sqrt((count - 1) * np.var(left_out)))
    return Estimate(value, value - spread, value + spread, n)
