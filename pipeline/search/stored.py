"""The stored embeddings of a run, read from its objects a few thousand rows at a time, and no other large column."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage, where
from pipeline.settings import SettingsError

S = TypeVar("S")
T = TypeVar("T")
RESULT = "result"
BATCH_ROWS = 4096
THREADS = 8  # that read objects; on a store they wait more than they work


@dataclasses.dataclass(frozen=True)
class Batch:
    """N rows of one object that went well and have the embedding that is searched."""

    vectors: NDArray[np.float16]  # [N, E]
    row_ids: pa.ChunkedArray
    items: pa.ChunkedArray  # what is found at most once: the row itself, or its input
    rows: NDArray[np.int64]  # [N] their places in the object


@dataclasses.dataclass(frozen=True)
class Space:
    """Which embeddings are searched: those of results, or of one role of the inputs, of the rows that match."""

    of: str  # "result", or a role
    where: str | None = None

    @property
    def columns(self) -> Mapping[str, str]:
        """What is read: its name here -> column of the output."""
        vector = "embedding" if self.of == RESULT else f"input_embeddings.{self.of}"
        return {"vector": vector, "item": "row_id" if self.of == RESULT else "source_id"}

    def batches(self, uri: str) -> Iterator[Batch]:
        """The rows of one object."""
        expression, asked = where.parse(self.where) if self.where else (None, ())
        names = [*dict.fromkeys(["row_id", "status", *self.columns.values(), *asked])]
        with storage.open_parquet(uri, read_ahead=False) as parquet:
            if missing := [n for n in asked if n not in parquet.schema_arrow.names]:
                raise SettingsError(f"where: {uri} has no column {missing[0]!r}; input.keep=[…] carries columns")
            first = 0
            for read in parquet.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                yield self._batch(pa.Table.from_batches([read]), first, expression)
                first += read.num_rows

    def _batch(self, table: pa.Table, first: int, expression: pc.Expression | None) -> Batch:
        group, _, role = self.columns["vector"].partition(".")
        vectors = pc.struct_field(table[group], role) if role else table[group]
        numbered = table.append_column("__row", pa.array(range(first, first + len(table)), pa.int64()))
        found = numbered.append_column("__vector", vectors)
        found = found.filter((pc.field("status") == "ok") & pc.field("__vector").is_valid())
        kept = self._matching(found, expression)
        flat = np.asarray(kept["__vector"].combine_chunks().flatten())
        items = kept[self.columns["item"]]
        return Batch(flat.reshape(len(kept), vectors.type.list_size), kept["row_id"], items, kept["__row"].to_numpy())

    def _matching(self, table: pa.Table, expression: pc.Expression | None) -> pa.Table:
        if expression is None:
            return table
        try:
            return table.filter(expression)
        except pa.ArrowException as error:
            reason = " ".join(str(error).split("\n", maxsplit=1)[0].split())
            raise SettingsError(f"where={self.where!r} does not fit the output's columns: {reason}") from error


def ahead(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Results of `work` in the order of the items, done by a few threads that run only a little ahead."""
    waiting: collections.deque[Future[T]] = collections.deque()
    with ThreadPoolExecutor(THREADS) as pool:
        coming = iter(items)
        for item in itertools.islice(coming, 2 * THREADS):
            waiting.append(pool.submit(work, item))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in itertools.islice(coming, 1))
            yield done


def cosine(vectors: NDArray[Any], query: NDArray[np.float16]) -> NDArray[np.float64]:
    """Cosine similarities [N] of float16 values [N, E] with a query [E], the same bits for a row in any company.

    float16 values of at most 1 are whole multiples of 2**-24, so their products are of 2**-48, and a sum below 32 of
    those fits the 53 bits of float64: nothing is rounded before the division, in whatever order BLAS adds.
    """
    x, q = vectors.astype(np.float64), query.astype(np.float64)
    return np.asarray((x @ q) / np.sqrt(np.einsum("ne,ne->n", x, x) * (q @ q)))
