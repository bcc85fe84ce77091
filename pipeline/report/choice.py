"""Which cell of a sweep to take: the best by the task's `best_by`, those that cannot be told from it, the cheapest.

Cells share their inputs and their noise, so two of them are compared by the mean of their differences over the
inputs that both have, with a bootstrap interval over inputs (evaluation/intervals.py).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import Cell
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.report import costs
from pipeline.report.scores import Scores


@dataclasses.dataclass(frozen=True)
class Standing:
    """One cell: its mean of each score, and how far that is from the best cell's, over shared inputs."""

    cell: Cell
    forwards: int  # for one row of this cell alone
    means: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]  # this cell minus the best one; empty for the best one itself

    @property
    def name(self) -> str:
        """The cell's name, "" for the only one of a run without a sweep."""
        return self.cell.name

    def told_apart(self, score: str) -> bool:
        """Whether the interval of the difference leaves out zero."""
        found = self.differences.get(score)
        return found is not None and bool(found.low > 0 or found.high < 0)


@dataclasses.dataclass(frozen=True)
class Choice:
    """All cells, held against the best."""

    best: Standing
    standings: tuple[Standing, ...]  # in the plan's order
    alike: tuple[Standing, ...]  # cannot be told from the best by `best_by`
    cheapest: Standing  # of the best and those alike, the one of fewest forwards, of equal ones the better


def choose(scores: Scores, schedules: Mapping[str, Mapping[str, Any] | None]) -> Choice | None:
    """None where no row has the score that ranks cells. `schedules` are the scheduler configurations of the models."""
    score, sign = scores.best_by, scores.sign(scores.best_by)
    values = {name: scores.by_input(name) for name in scores.names}
    means = {cell: float(np.nanmean(v)) for cell, v in values[score].items() if np.isfinite(v).any()}
    if not means:
        return None
    best = max(means, key=lambda cell: sign * means[cell])
    standings = []
    for cell in scores.plan.cells:
        own = {name: estimate(v[cell.name]) for name, v in values.items()}
        apart = {} if cell.name == best else {n: estimate(v[cell.name] - v[best]) for n, v in values.items()}
        forwards = costs.row_forwards(scores.plan, cell, schedules[cell.model])
        standings.append(Standing(cell, forwards, own, apart))
    first = next(s for s in standings if s.name == best)
    alike = tuple(s for s in standings if s.name in means and s is not first and not s.told_apart(score))
    cheapest = min((first, *alike), key=lambda s: (s.forwards, -sign * s.means[score].value))
    return Choice(first, tuple(standings), alike, cheapest)


@dataclasses.dataclass(frozen=True)
class Group:
    """The best cell, by `best_by`, of those whose network sees the same conditions."""

    seen: frozenset[str]
    standing: Standing
    below: Mapping[str, Estimate]  # score -> this group minus the one that sees most, over shared inputs

    @property
    def title(self) -> str:
        """What was seen."""
        return " + ".join(sorted(self.seen)) or "no condition"


def groups(scores: Scores, choice: Choice | None) -> tuple[Group, ...]:
    """Cells by what they see, from most conditions to fewest; empty where all see the same."""
    score, sign = scores.best_by, scores.sign(scores.best_by)
    found: dict[frozenset[str], Standing] = {}
    for standing in choice.standings if choice else ():
        seen = costs.seen(scores.plan, standing.cell)
        mean = standing.means[score]
        if mean.n and (seen not in found or sign * mean.value > sign * found[seen].means[score].value):
            found[seen] = standing
    if len(found) < 2:
        return ()
    order = sorted(found, key=lambda s: (-len(s), sorted(s)))
    values = {name: scores.by_input(name) for name in scores.names}
    most = found[order[0]].name
    below = {s: {n: estimate(v[found[s].name] - v[most]) for n, v in values.items()} for s in order[1:]}
    return tuple(Group(s, found[s], below.get(s, {})) for s in order)


def estimate(per_input: NDArray[np.float64]) -> Estimate:
    """Mean over inputs [inputs], those with NaN left out, with its interval."""
    return intervals.of_means(per_input[np.isfinite(per_input)])
