"""Exact nearest neighbours over references of any number, added block by block in any order.

For results that repeat training data: the similarity to the nearest training row, and which it is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.sets import BLOCK, Features, blocks, unit

CHUNK = 8192  # references that are compared at a time


class Nearest:
    """The k references of highest cosine similarity to each of queries [N, D]. Ties go to the lower id, so neither the
    order nor the size of what is added changes anything. Features are finite; ids are unique, and all text or all
    whole numbers."""

    def __init__(self, query: Features, k: int) -> None:
        self._query = unit(query.astype(np.float64))
        self._k = k
        self._similarity = np.zeros((len(query), 0), np.float32)
        self._id: NDArray[Any] | None = None

    def add(self, block: Features, ids: NDArray[Any]) -> None:
        """More references [M, D] with their ids [M]. Takes memory for BLOCK x CHUNK similarities."""
        if len(block) != len(ids):
            raise ValueError(f"{len(block)} references have {len(ids)} ids")
        order = np.argsort(ids)
        for part in blocks(len(ids), CHUNK):
            at = order[part]
            self._merge(unit(block[at].astype(np.float64)), np.asarray(ids)[at])

    def best(self) -> tuple[Features, NDArray[Any]]:
        """Similarities and ids, both [N, k], the most similar first; fewer columns if fewer than k were added."""
        ids = np.zeros(self._similarity.shape, np.int64) if self._id is None else self._id
        return self._similarity, ids

    def _merge(self, references: NDArray[np.float64], ids: NDArray[Any]) -> None:
        found = []
        for rows in blocks(len(self._query), BLOCK):
            similar = (self._query[rows] @ references.T).astype(np.float32)  # equal references tie in float32
            column = _highest(similar, self._k)
            found.append((np.take_along_axis(similar, column, 1), ids[column]))
        similarity, own = (np.concatenate(parts) for parts in zip(*found, strict=True))
        similarity = np.concatenate([self._similarity, similarity], 1)
        own = own if self._id is None else np.concatenate([self._id, own], 1)
        ranked = np.lexsort((own, -similarity))[:, : self._k]
        self._similarity, self._id = np.take_along_axis(similarity, ranked, 1), np.take_along_axis(own, ranked, 1)


def nearest(query: Features, reference: Features, k: int) -> tuple[Features, NDArray[np.int64]]:
    """Cosine similarities and row numbers [N, min(k, M)] of the references [M, D] nearest to queries [N, D]."""
    found = Nearest(query, k)
    found.add(reference, np.arange(len(reference)))
    return found.best()


def _highest(similar: Features, k: int) -> NDArray[np.int64]:
    """Columns [N, min(k, M)] of each row's highest values, in no order; of equal ones the first."""
    n, m = similar.shape
    if m <= k:
        return np.tile(np.arange(m), (n, 1))
    least = np.partition(similar, m - k, axis=1)[:, m - k, None]
    above, level = similar > least, similar == least
    room = k - above.sum(1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, 1) <= room))
    return np.nonzero(chosen)[1].reshape(n, k)
