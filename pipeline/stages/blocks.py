"""Tensors in Arrow blocks: fixed-shape tensor columns, so that nothing between two stages is pickled."""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.conditions import Condition


def column(values: NDArray[np.generic]) -> pa.Array:
    """An array [N, ...] as N tensors."""
    contiguous = np.ascontiguousarray(values.astype(np.uint8) if values.dtype == bool else values)
    if contiguous.ndim == 1:
        return pa.array(contiguous)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(contiguous)


def array(table: pa.Table, name: str) -> NDArray[np.generic]:
    """The array [N, ...] of a column made by `column`."""
    chunks = table[name].combine_chunks()
    values = chunks.chunk(0) if isinstance(chunks, pa.ChunkedArray) else chunks
    if isinstance(values, pa.FixedShapeTensorArray):
        return np.asarray(values.to_numpy_ndarray())
    return np.asarray(values.to_numpy(zero_copy_only=False))


def condition_columns(name: str, condition: Condition) -> dict[str, pa.Array]:
    """A condition of N rows as columns `name.tokens`, `name.mask`, `name.pooled`, `name.map0` …, `name.present`."""
    parts = {n: getattr(condition, n) for n in ("tokens", "mask", "pooled", "present")}
    parts |= {f"map{i}": m for i, m in enumerate(condition.maps)}
    return {f"{name}.{key}": column(value.cpu().numpy()) for key, value in parts.items()}


def condition(table: pa.Table, name: str) -> Condition:
    """The condition that `condition_columns` wrote."""
    maps = sorted(c for c in table.column_names if c.startswith(f"{name}.map"))

    def tensor(key: str) -> Tensor:
        return torch.from_numpy(array(table, key).copy())

    return Condition(
        tokens=tensor(f"{name}.tokens"),
        mask=tensor(f"{name}.mask").bool(),
        pooled=tensor(f"{name}.pooled"),
        maps=tuple(tensor(key) for key in maps if not key.endswith("mask")),
        present=tensor(f"{name}.present").bool(),
    )
