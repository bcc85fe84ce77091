"""The judge's space: stored embeddings of some inputs, of their modalities and of a result of each."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.report import rows

INPUTS = 250  # at most: with three modalities and a result each, 1,000 points
COLUMNS = ("source_id", "cell", "sample_index", "status", "embedding", "input_embeddings")

Vector = NDArray[np.float32]  # [E], of unit length


@dataclasses.dataclass(frozen=True)
class Point:
    """An input in the space."""

    source_id: str
    inputs: Mapping[str, Vector]  # role -> embedding, of the roles that it has
    results: dict[str, Vector]  # cell -> embedding of its first result there


Space = tuple[Point, ...]


def sample(objects: Sequence[str], figures: pa.Table, first: Sequence[str]) -> Space:
    """Some inputs that went well, those named in `first` and others spread evenly over the run.

    `figures` are of all rows, with the number of the object of `objects` that holds each.
    """
    good = figures.filter((pc.field("status") == "ok") & (pc.field("sample_index") == 0))
    sources = pc.unique(good["source_id"]).to_pylist()
    count = min(INPUTS, len(sources))
    spread = [sources[i * len(sources) // count] for i in range(count)]
    wanted = pa.array([*dict.fromkeys([*first, *spread])][:INPUTS], pa.string())
    taken = good.filter(pc.field("source_id").isin(wanted))
    points: dict[str, Point] = {}
    for number in pc.unique(taken["object"]).to_pylist():
        for row in _rows(objects[number], wanted):
            inputs = {role: _vector(e) for role, e in row["input_embeddings"].items() if e is not None}
            point = points.setdefault(row["source_id"], Point(row["source_id"], inputs, {}))
            point.results[row["cell"]] = _vector(row["embedding"])
    return tuple(points.values())


def _rows(uri: str, wanted: pa.Array) -> list[dict[str, Any]]:
    table = rows.read(uri, COLUMNS)
    chosen = pc.field("source_id").isin(wanted) & (pc.field("status") == "ok") & (pc.field("sample_index") == 0)
    found: list[dict[str, Any]] = table.filter(chosen).to_pylist()
    return found


def _vector(values: Any) -> Vector:
    return np.asarray(values, np.float32)
