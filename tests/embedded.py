"""Stored rows with embeddings, and which of them are the nearest by brute force."""

import itertools
import math
import operator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import storage
from pipeline.storage import Stored

Row = dict[str, Any]
E = 8
QUERY = np.linspace(-0.5, 0.5, E).astype(np.float16)
VECTOR = pa.list_(pa.float16(), E)
SCHEMA = pa.schema(
    [
        *((n, pa.string()) for n in ("row_id", "source_id", "status", "cell")),
        ("embedding", VECTOR),
        ("input_embeddings", pa.struct([("text", VECTOR)])),
    ]
)


def unit(values: NDArray[np.float64]) -> NDArray[np.float16]:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float16)


def rows(count: int, seed: int = 0, kinds: int = 1000) -> list[Row]:
    """Rows of which two of three share their input with the one before; with few `kinds` many are equal."""
    rng = np.random.default_rng(seed)
    vectors, texts = unit(rng.normal(size=(kinds, E))), unit(rng.normal(size=(kinds, E)))
    made = []
    for i, place in enumerate(rng.permutation(count).tolist()):
        failed = i % 5 == 4
        made.append(
            {
                "row_id": f"{place:05d}",
                "source_id": f"s{i // 3}",
                "status": "failed" if failed else "ok",
                "cell": "a" if i % 2 else "b",
                "embedding": None if failed else vectors[i % kinds],
                "input_embeddings": {"text": texts[i // 3 % kinds] if i // 3 % 4 else None},
            }
        )
    return made


def put(place: str, made: list[Row], sizes: list[int]) -> list[Stored]:
    """Rows as objects of these sizes."""
    coming = iter(made)
    for number, size in enumerate(sizes):
        part = pa.Table.from_pylist(list(itertools.islice(coming, size)), SCHEMA)
        storage.put(storage.join(place, f"{number:08d}.parquet"), storage.to_parquet(part, row_group_rows=7))
    return storage.list_objects(place, ".parquet")


def truth(made: list[Row], of: str, top_k: int) -> list[tuple[float, str]]:
    """(similarity, row_id) by brute force, with sums that are rounded once."""
    best: dict[str, tuple[float, str]] = {}
    for row in made:
        vector = row["embedding"] if of == "result" else row["input_embeddings"][of]
        if row["status"] != "ok" or vector is None:
            continue
        x, q = vector.astype(float).tolist(), QUERY.astype(float).tolist()
        dot, square, own = (math.fsum(map(operator.mul, a, b)) for a, b in ((x, q), (x, x), (q, q)))
        pair = (-dot / math.sqrt(square * own), row["row_id"])
        item = row["row_id"] if of == "result" else row["source_id"]
        best[item] = min(best.get(item, pair), pair)
    return [(-value, row_id) for value, row_id in sorted(best.values())[:top_k]]
