"""Set metrics: figures that only a whole set of results has, such as its distance from the references.

A set metric is a function `(Sets) -> Mapping[str, Estimate]` that configuration names as "module:attribute": a new one
is a new file. It returns an empty mapping if the sets cannot bear it (no references, too few inputs). Its figures do
not depend on the order of rows. `Sets` holds a sample of a slice, at most about 10,000 rows, since most of these
metrics look at all pairs of rows: blocks of a bounded size, one after the other.

What only sums over pairs multiplies in float32 and adds in float64. What compares similarities multiplies in float64:
there, the last bits of float32 depend on where in a block a pair stands, and equal pairs would not tie.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate, Together

Features = NDArray[np.float32]
BLOCK = 256  # rows of a matrix of all pairs that are held at a time


@dataclasses.dataclass(frozen=True)
class Rows:
    """N rows of features, and the inputs that they belong to."""

    source_id: tuple[str, ...]
    features: Features  # [N, D]
    together: Together = dataclasses.field(default_factory=dict)

    def take(self, index: Sequence[int]) -> "Rows":
        """Some of the rows."""
        return Rows(tuple(self.source_id[i] for i in index), self.features[index], self.together)

    def one_each(self) -> "Rows":
        """One row of every input, in order of the inputs' ids: that whose features hash lowest, so that neither the
        order of rows nor what is in them favours any."""
        drawn = sorted(range(len(self.source_id)), key=lambda i: seeds.digest(self.features[i].tobytes()), reverse=True)
        chosen = {self.source_id[i]: i for i in drawn}
        return self.take([chosen[source] for source in sorted(chosen)])

    def unit(self) -> "Rows":
        """The same directions at length 1."""
        return Rows(self.source_id, unit(self.features), self.together)

    @property
    def inputs(self) -> int:
        """How many inputs there are."""
        return len(set(self.source_id))

    @property
    def units(self) -> int:
        """How many things are drawn: inputs, or groups of them."""
        return len(set(intervals.units(self.source_id, self.together)))


@dataclasses.dataclass(frozen=True)
class Sets:
    """Features of the sampled rows of one slice; row i of everything belongs to input source_id[i], and an input may
    have several rows (several samples of it)."""

    source_id: tuple[str, ...]
    result: Features  # [N, D] of results
    reference: Features  # [N, D] of the inputs' reference pictures; rows of NaN where there is none
    conditions: Mapping[str, Features]  # role (text, sketch, …) -> [N, D] in the same space; rows of NaN where absent
    together: Together = dataclasses.field(default_factory=dict)

    def rows(self, features: Features) -> Rows:
        """Features [N, D] of these rows."""
        return Rows(self.source_id, features, self.together)

    def against(self, other: Features) -> tuple[Rows, Rows]:
        """The results of inputs that have `other` (references, or a condition), and what they have, once per input."""
        have = np.flatnonzero(np.isfinite(other).all(1)).tolist()
        return self.rows(self.result).take(have), self.rows(other).take(have).one_each()


Metric = Callable[[Sets], Mapping[str, Estimate]]


def unit(features: NDArray[Any]) -> NDArray[Any]:
    """Rows [N, D] at length 1; rows of zeros stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(features.dtype).tiny)


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover n rows."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
