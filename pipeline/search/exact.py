"""Exact search: the stored embeddings that are most similar to a query, streamed over the objects of a run.

Memory does not grow with the rows. Order is by similarity and then by row_id, so that the answer is the same however
the rows are cut into objects and whichever object is read first.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.patience import patiently
from pipeline.search.stored import Batch, Space, ahead, cosine
from pipeline.storage import Stored


@dataclasses.dataclass(frozen=True)
class Found:
    """One answer."""

    similarity: float
    row_id: str
    item: str  # what is found at most once: the row itself, or its input
    object: int  # which of the run's objects holds the row
    row: int  # and at which place


class Best:
    """The best `top_k` of all that is offered, whatever the order; threads may offer at once."""

    def __init__(self, top_k: int) -> None:
        self.top_k = top_k
        self.found: list[Found] = []
        self.lock = threading.Lock()

    @property
    def floor(self) -> float:
        """What is less similar than this cannot be among the best."""
        found = self.found
        return found[-1].similarity if len(found) == self.top_k else -np.inf

    def offer(self, some: Iterable[Found]) -> None:
        """Keep those of them that are among the best. Of one item only the best row counts."""
        with self.lock:
            items: dict[str, Found] = {}
            for one in sorted([*self.found, *some], key=lambda f: (-f.similarity, f.row_id)):
                items.setdefault(one.item, one)
            self.found = list(items.values())[: self.top_k]


def search(objects: Sequence[Stored], space: Space, query: NDArray[np.float16], top_k: int) -> tuple[list[Found], int]:
    """(the `top_k` most similar to the query [E], best first; how many rows were looked at)."""
    best = Best(top_k)
    looked = sum(ahead(functools.partial(_offer, objects, space, query, best), range(len(objects))))
    return best.found, looked


@patiently
def _offer(objects: Sequence[Stored], space: Space, query: NDArray[np.float16], best: Best, number: int) -> int:
    """Offer the rows of one object; how many there were."""
    looked = 0
    for batch in space.batches(objects[number].uri):
        similarity = cosine(batch.vectors, query)
        best.offer(_found(batch, similarity, number, np.flatnonzero(similarity >= best.floor)))
        looked += len(similarity)
    return looked


def _found(batch: Batch, similarity: NDArray[np.float64], number: int, at: NDArray[np.integer]) -> Iterable[Found]:
    ids, items = batch.row_ids.take(at).to_pylist(), batch.items.take(at).to_pylist()
    places = zip(similarity[at].tolist(), ids, items, batch.rows[at].tolist(), strict=True)
    return (Found(value, row_id, item, number, row) for value, row_id, item, row in places)
