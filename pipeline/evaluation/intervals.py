"""Intervals over inputs: all rows of an input are drawn, or left out, together, since they are not independent. So are
all inputs of a group (`Together`) where inputs depend on each other, as clips that were cut from one performance do.

Means are bootstrapped. What an input drawn twice would bias, such as a distance between sets, has a delete-group
jackknife (Kott 2001, "The delete-a-group jackknife"): each of GROUPS groups of inputs is left out once.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
import scipy.special
from numpy.typing import NDArray

from pipeline import seeds

DRAWS = 1000
DRAWS_AT_ONCE = 50  # of means, whose indices are held
LEVEL = 0.95
GROUPS = 20


Together = Mapping[str, str]  # input -> the group that it is drawn with; an input that is not there is drawn alone
ALONE: Together = {}


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float
    high: float
    n: int  # inputs

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_by_input(values: NDArray[np.floating], inputs: Sequence[str]) -> dict[str, float]:
    """Mean of each input's finite values, in order of the inputs' ids; inputs without any are left out."""
    sums: dict[str, list[float]] = {}
    for value, source in zip(values.tolist(), inputs, strict=True):
        if np.isfinite(value):
            sums.setdefault(source, []).append(value)
    return {source: float(np.mean(sums[source])) for source in sorted(sums)}


def mean(values: NDArray[np.floating], inputs: Sequence[str], together: Together = ALONE, seed: int = 0) -> Estimate:
    """Mean over inputs of their rows' means. With no finite value all figures are NaN."""
    found = mean_by_input(values, inputs)
    return of_means(np.array(list(found.values())), units(list(found), together), seed)


def of_means(per_input: NDArray[np.float64], drawn_as: Sequence[str] | None = None, seed: int = 0) -> Estimate:
    """Mean of values of inputs [N], all finite, bootstrapped over what each is drawn as; None: over the inputs."""
    n, rng = len(per_input), np.random.default_rng(seed)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    own = np.arange(n) if drawn_as is None else np.unique(drawn_as, return_inverse=True)[1]
    total, count = np.bincount(own, per_input), np.bincount(own)
    blocks = [min(DRAWS_AT_ONCE, DRAWS - start) for start in range(0, DRAWS, DRAWS_AT_ONCE)]
    chosen = (rng.integers(0, len(count), (size, len(count))) for size in blocks)
    drawn = np.concatenate([total[index].sum(1) / count[index].sum(1) for index in chosen])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(per_input.mean()), float(low), float(high), n)


def units(inputs: Sequence[str], together: Together) -> list[str]:
    """What each input is drawn as: its group, or itself."""
    return [together.get(source, source) for source in inputs]


def share(values: NDArray[np.floating], inputs: Sequence[str], together: Together = ALONE, seed: int = 0) -> Estimate:
    """As `mean`, for values in [0, 1]. Where all are 0, or all 1, a bootstrap has no width: the bound on the other
    side is then the exact one of as many inputs (or groups) that all agree (Clopper and Pearson 1934)."""
    found = mean(values, inputs, together, seed)
    if found.value not in (0, 1):
        return found
    least = ((1 - LEVEL) / 2) ** (1 / len(set(units(list(mean_by_input(values, inputs)), together))))
    low, high = (least, 1.0) if found.value == 1 else (0.0, 1 - least)
    return dataclasses.replace(found, low=low, high=high)


def jackknife(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0) -> Estimate:
    """Delete-group jackknife of a statistic of n inputs, given as a function of the indices that are kept."""
    order = np.random.default_rng(seed).permutation(n)
    count = min(GROUPS, n)
    left_out = [statistic(np.sort(np.delete(order, np.arange(g, n, count)))) for g in range(count)]
    return jackknifed(statistic(np.arange(n)), left_out, n)


def groups(inputs: Sequence[str], together: Together = ALONE) -> NDArray[np.int64]:
    """Jackknife group of each row, 0 to min(GROUPS, inputs) - 1: inputs are dealt out in the order of their hashes,
    so that groups are of equal size and the order of the rows is nothing to them. What is drawn together is dealt out
    together."""
    drawn_as = units(inputs, together)
    ranked = sorted(set(drawn_as), key=lambda unit: seeds.digest("jackknife", unit))
    of_unit = {unit: rank % GROUPS for rank, unit in enumerate(ranked)}
    return np.array([of_unit[unit] for unit in drawn_as], np.int64)


def jackknife_sums(statistic: Callable[[NDArray[np.float64]], float], sums: NDArray[np.float64], n: int) -> Estimate:
    """Delete-group jackknife of a function of sums over pairs of rows, n inputs in all, without another pass over the
    pairs. `sums` [S, G, G] holds S sums over the pairs of a row in group g with a row in group h; `statistic` takes
    their totals [S]. The pairs without group g are all but those in row g or column g."""
    total = sums.sum((1, 2))
    left_out = total - sums.sum(2).T - sums.sum(1).T + np.diagonal(sums, axis1=1, axis2=2).T  # [G, S]
    return jackknifed(float(statistic(total)), [float(statistic(rest)) for rest in left_out], n)


def jackknifed(value: float, left_out: Sequence[float], n: int) -> Estimate:
    """A statistic of n inputs with the interval that its values without each of the groups give."""
    count = len(left_out)
    quantile = float(scipy.special.stdtrit(count - 1, (1 + LEVEL) / 2))  # Student's t: few groups
    spread = quantile * float(np.sqrt((count - 1) * np.var(left_out)))
    return Estimate(value, value - spread, value + spread, n)


def inputs_needed(difference: float, deviation: float, power: float = 0.8) -> int:
    """How many inputs a paired comparison needs to see a mean difference of this size with this probability, in a
    two-sided t test at 1 - LEVEL; `deviation` is the standard deviation of the inputs' differences.

    n = ((z_(1 - alpha/2) + z_power) deviation / difference)^2 + z_(1 - alpha/2)^2 / 2, rounded up (Guenther 1981,
    "Sample size formulas for normal theory t tests"); the last term makes up for a deviation that is estimated.
    """
    if difference == 0:
        raise ValueError("no number of inputs shows a difference of 0")
    normal = NormalDist()
    level, seen = normal.inv_cdf((1 + LEVEL) / 2), normal.inv_cdf(power)
    return math.ceil(((level + seen) * deviation / difference) ** 2 + level**2 / 2)
