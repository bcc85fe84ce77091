"""Tensors in Arrow blocks: fixed-shape tensor columns, so that nothing between two stages is pickled."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


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
