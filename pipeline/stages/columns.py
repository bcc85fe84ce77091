"""Whole columns of a table, so that no row becomes a Python object on its way to one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.stages.blocks import array


def taken(table: pa.Table, rows: Sequence[int | None]) -> pa.Table:
    """Rows of a table, null where there is no number; the table itself where these are all of its rows."""
    return table if [*rows] == [*range(table.num_rows)] else table.take(pa.array(rows, pa.int32()))


def halves(values: NDArray[np.float32], there: NDArray[np.bool_]) -> pa.Array:
    """Vectors [N, E] in half precision, null where `there` [N] is false."""
    kind = pa.list_(pa.float16(), values.shape[1])
    flat = pa.array(values.astype(np.float16).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(~there))


def struct(kind: pa.DataType, columns: Mapping[str, Any]) -> pa.Array:
    """A struct of that type from its fields' arrays; valid in every row."""
    return pa.StructArray.from_arrays([columns[field.name] for field in kind], fields=[*kind])


def by_key(keys: Sequence[str], values: Mapping[str, Any], kind: pa.DataType) -> pa.Array:
    """Each row's value, which its key decides."""
    names = [*dict.fromkeys(keys)]
    places = {name: place for place, name in enumerate(names)}
    return pa.array([values[name] for name in names], kind).take(pa.array([places[key] for key in keys], pa.int32()))


def flags(block: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of booleans."""
    return np.asarray(array(block, name), dtype=bool)
