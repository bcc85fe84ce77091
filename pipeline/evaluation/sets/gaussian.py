"""Frechet distances between sets of rows (scores/frechet.py), with the delete-group jackknife over their inputs."""

import dataclasses
from collections.abc import Sequence

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Rows
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

LEAST = 3  # inputs or groups of them: two must be left when one is left out


@dataclasses.dataclass(frozen=True)
class Distance(Estimate):
    """A Frechet distance. It is biased upwards, the more so the fewer inputs there are for each feature."""

    features: int  # D


def distance(a: Rows, b: Rows) -> Distance:
    """Between rows of the same inputs, LEAST of them or more."""
    return of_values(values(a, b), a)


def values(a: Rows, b: Rows) -> list[float]:
    """The distance of all rows, then those without each of the groups."""
    own = _by_group(a), _by_group(b)
    whole = [sum(side[1:], side[0]) for side in own]
    left_out = [(whole[0] - x, whole[1] - y) for x, y in zip(*own, strict=True)]
    return [frechet.distance(*sides) for sides in [tuple(whole), *left_out] if min(side.n for side in sides) > 1]


def of_values(found: Sequence[float], rows: Rows) -> Distance:
    """Such values, or sums of them, as one figure of these inputs."""
    estimate = intervals.jackknifed(found[0], found[1:], rows.inputs)
    return Distance(**dataclasses.asdict(estimate), features=rows.features.shape[1])


def _by_group(rows: Rows) -> list[Moments]:
    group = intervals.groups(rows.source_id, rows.together)
    return [Moments.of(rows.features[group == g]) for g in range(int(group.max()) + 1)]
