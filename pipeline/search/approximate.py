"""Approximate search: an inverted file (faiss, IndexIVF) of the stored embeddings, built once, for many queries.

A query looks into the cells whose centres are nearest to it, one in 16. What is found there is measured again as
exact search does it, so that similarities are exact and only the completeness is approximate.

PLACE/<of>-<digest>.faiss    the digest is of the objects that it was built from: a run that changes has another one
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline import progress, storage
from pipeline.patience import patiently
from pipeline.search.exact import Best, Found
from pipeline.search.stored import Batch, Space, ahead, cosine
from pipeline.seeds import digest
from pipeline.settings import SettingsError
from pipeline.storage import Stored

if TYPE_CHECKING:
    import faiss

ROW_BITS = 32  # an id in the index is object << 32 | row
SAMPLE = 131_072  # vectors that the cells' centres are found from, at most
LEAST_TRAINED_ON = 39  # of them for each cell; faiss says that fewer give no good centres
LEAST_PROBED = 16  # cells; small indexes are as good as exact
SPARE = 2  # times as many rows are measured again as are asked for

Rows = tuple[NDArray[np.float16], NDArray[np.int64]]  # vectors [N, E] and their ids [N]


def search(
    objects: Sequence[Stored], space: Space, query: NDArray[np.float16], top_k: int, place: str
) -> tuple[list[Found], int]:
    """As exact.search, from the index in `place`, which is built where there is none for these objects."""
    index = _opened(objects, space, place)
    index.nprobe = max(LEAST_PROBED, index.nlist // 16)
    wanted = min(SPARE * top_k, index.ntotal)
    _, ids, vectors = index.search_and_reconstruct(query[None].astype(np.float32), wanted)
    there = ids[0] >= 0
    measured = sorted(zip(ids[0][there].tolist(), cosine(vectors[0][there], query).tolist(), strict=True))
    best = Best(top_k)
    for number, group in itertools.groupby(measured, lambda pair: pair[0] >> ROW_BITS):
        best.offer(_named(objects[number], number, space, list(group)))
    return best.found, int(index.ntotal)


@patiently
def _named(stored: Stored, number: int, space: Space, measured: Sequence[tuple[int, float]]) -> list[Found]:
    """Answers of one object, from pairs of id and similarity."""
    places = [name & (1 << ROW_BITS) - 1 for name, _ in measured]
    columns = ("row_id", space.columns["item"])
    with storage.open_parquet(stored.uri, read_ahead=False) as parquet:
        table = parquet.read(columns=[*dict.fromkeys(columns)]).take(places)
    ids, items = (table[name].to_pylist() for name in columns)
    values = zip(measured, ids, items, places, strict=True)
    return [Found(similarity, row_id, item, number, row) for (_, similarity), row_id, item, row in values]


def _opened(objects: Sequence[Stored], space: Space, place: str) -> "faiss.IndexIVF":
    faiss = _library()
    built_from = digest(*itertools.chain(*((o.uri.rsplit("/", 1)[-1], o.size, o.version) for o in objects)))
    uri = storage.join(place, f"{space.of}-{built_from.hex()}.faiss")
    if not storage.stat_or_none(uri):
        for old in storage.list_objects(place, ".faiss"):
            if old.uri.rsplit("/", 1)[-1].startswith(f"{space.of}-"):
                storage.remove(old.uri)
        storage.put(uri, faiss.serialize_index(_built(objects, space)).tobytes())
    if storage.is_local(uri):  # mapped: only the cells that a query looks into are read
        return faiss.read_index(storage.filesystem(uri)[1], faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    return faiss.deserialize_index(np.frombuffer(storage.read(uri), np.uint8))


def _built(objects: Sequence[Stored], space: Space) -> "faiss.IndexIVF":
    """The index, in memory: 2 bytes for each number of an embedding, and as much again when it is written."""
    faiss = _library()
    sample, rows = _sample(objects, space)
    progress.say(f"building the index of about {rows:,} rows of {len(objects):,} objects; later queries use it")
    cells = max(1, min(2 * math.isqrt(rows), len(sample) // LEAST_TRAINED_ON))
    width, half, metric = sample.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, cells, half, metric, False)
    index.train(sample.astype(np.float32))
    for vectors, ids in ahead(functools.partial(_rows, objects, space), range(len(objects))):
        if len(ids):
            index.add_with_ids(vectors.astype(np.float32), ids)
    return index


def _sample(objects: Sequence[Stored], space: Space) -> tuple[NDArray[np.float16], int]:
    """(vectors [N, E] of objects drawn at random, about how many there are in all)."""
    drawn = np.random.default_rng(0).permutation(len(objects)).tolist()
    read: list[NDArray[np.float16]] = []
    for vectors, _ in ahead(functools.partial(_rows, objects, space), drawn):
        read.append(vectors)
        if sum(map(len, read)) >= SAMPLE:
            break
    sample = np.concatenate(read)
    if not len(sample):
        raise SettingsError(f"of={space.of}: no row that went well has an embedding of that")
    return sample[:SAMPLE], len(sample) * len(objects) // len(read)


@patiently
def _rows(objects: Sequence[Stored], space: Space, number: int) -> Rows:
    """Vectors of one object, of each item one, and their ids."""
    found = [_distinct(batch, number) for batch in space.batches(objects[number].uri)]
    vectors, ids = zip(*found, strict=True)
    return np.concatenate(vectors), np.concatenate(ids)


def _distinct(batch: Batch, number: int) -> Rows:
    """Of each item the row with the least row_id, as exact search has it."""
    order = np.argsort(batch.row_ids.to_numpy(), kind="stable")
    _, first = np.unique(batch.items.to_numpy()[order].astype(str), return_index=True)
    kept = np.sort(order[first])
    return batch.vectors[kept], number << ROW_BITS | batch.rows[kept]


def _library() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise SettingsError("index=faiss needs a package: pip install 'batch-diffusion[search]'") from error
    return faiss
