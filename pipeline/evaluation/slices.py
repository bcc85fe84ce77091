"""What is kept of each slice (the rows of one group) while a run is read: sums that merge, and a sample.

Everything here adds up in any order, so pieces of a run can be read anywhere and merged as they come.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.collect import Features, Group, Rows
from pipeline.evaluation.intervals import Together
from pipeline.evaluation.sets import Sets
from pipeline.evaluation.tallies import Tally, by_input, multiplicities
from pipeline.scores.frechet import Moments
from pipeline.seeds import digest

SAMPLE_ROWS = 10_000  # of a slice; what looks at all pairs of rows looks at these


@dataclasses.dataclass(frozen=True)
class Sample:
    """The rows of the inputs whose ids hash lowest: the same inputs in every slice of a run."""

    key: NDArray[np.uint64]  # [N], ascending
    row_id: NDArray[np.str_]
    source_id: NDArray[np.str_]
    unit: NDArray[np.str_]  # what each is drawn as: its input, or a group of inputs
    result: Features
    reference: Features  # rows of NaN where there is none
    conditions: Mapping[str, Features]  # by role

    @classmethod
    def of(cls, rows: Rows, keys: NDArray[np.uint64]) -> "Sample":
        """Of rows, and the hash of each one's input."""
        own = (rows.row_id, rows.source_id, rows.unit, rows.result, rows.reference, rows.conditions)
        return cls(keys, *own)._lowest()

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            np.concatenate([self.key, other.key]),
            np.concatenate([self.row_id, other.row_id]),
            np.concatenate([self.source_id, other.source_id]),
            np.concatenate([self.unit, other.unit]),
            np.concatenate([self.result, other.result]),
            np.concatenate([self.reference, other.reference]),
            {role: np.concatenate([values, other.conditions[role]]) for role, values in self.conditions.items()},
        )._lowest()

    def _lowest(self) -> "Sample":
        kept = np.lexsort((self.row_id, self.key))[:SAMPLE_ROWS]
        return Sample(
            self.key[kept],
            self.row_id[kept],
            self.source_id[kept],
            self.unit[kept],
            self.result[kept],
            self.reference[kept],
            {role: values[kept] for role, values in self.conditions.items()},
        )

    @property
    def together(self) -> Together:
        """The groups of its inputs."""
        apart = self.unit != self.source_id
        return dict(zip(self.source_id[apart].tolist(), self.unit[apart].tolist(), strict=True))

    def sets(self) -> Sets:
        """As the set metrics take it."""
        full = {role: values.astype(np.float32) for role, values in self.conditions.items()}
        result, reference = self.result.astype(np.float32), self.reference.astype(np.float32)
        return Sets(tuple(map(str, self.source_id)), result, reference, full, self.together)


@dataclasses.dataclass(frozen=True)
class Slice:
    """Of one group of rows."""

    scores: Tally
    paired: Tally  # differences from the baseline group, over the inputs that both have
    results: Moments  # of inputs that have a reference
    references: Moments  # each once
    sample: Sample

    def __add__(self, other: "Slice") -> "Slice":
        return Slice(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))


Slices = dict[Group, Slice]


def merge(pieces: Iterable[Slices]) -> Slices:
    """The slices of several pieces of a run, of which no more than one is held at a time."""
    found: Slices = {}
    for piece in pieces:
        for group in list(piece):
            own = piece.pop(group)
            found[group] = found[group] + own if group in found else own
    return found


def slices(rows: Rows, baseline: Callable[[Group], Group]) -> Slices:
    """Of some units. `baseline` says which group another is compared with; its own is compared with none."""
    inputs, first, owner = np.unique(rows.source_id, return_index=True, return_inverse=True)
    drawn = multiplicities(rows.unit[first].tolist())
    keys = np.array([int.from_bytes(digest("sample", name, size=8), "little") for name in inputs.tolist()], np.uint64)
    places: dict[Group, list[int]] = {}
    for place, group in enumerate(rows.groups):
        places.setdefault(group, []).append(place)
    means = {g: by_input(rows.scores[at], owner[at], len(inputs)) for g, at in places.items()}
    nothing = np.full((len(inputs), rows.scores.shape[1]), np.nan)
    out = {}
    for group, at in places.items():
        other = baseline(group)
        difference = means[group] - means[other] if other != group and other in means else nothing
        index = np.array(at, np.intp)
        own = rows.take(index)
        results, references = _moments(own)
        out[group] = Slice(
            scores=Tally.of(means[group], drawn),
            paired=Tally.of(difference, drawn),
            results=results,
            references=references,
            sample=Sample.of(own, keys[owner[index]]),
        )
    return out


def _moments(rows: Rows) -> tuple[Moments, Moments]:
    """(results of inputs that have a reference, these references, once each)."""
    there = np.isfinite(rows.reference).all(1)
    _, first = np.unique(rows.source_id[there], return_index=True)
    return Moments.of(rows.result[there]), Moments.of(rows.reference[there][first])


def same_but_first_cell(group: Group, by: Sequence[str], cells: Sequence[str]) -> Group:
    """The group that differs by its cell alone, which is the run's first; itself where cells are not told apart."""
    return tuple(cells[0] if name == "cell" else value for name, value in zip(by, group, strict=True))
