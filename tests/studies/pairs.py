"""The studies' data: the OpenMoji pairs as they are, and with something taken away or replaced by noise."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline import storage
from pipeline.seeds import digest


def chance(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts."""
    return int.from_bytes(digest("study", *parts, size=6)) / 2**48


def made(path: Path, pairs: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """The pairs, changed, as a file that is made once."""
    if not path.exists():
        table = change(pq.read_table(pairs))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(storage.to_parquet(table, 64))
    return path


def without(table: pa.Table, column: str, gone: list[bool]) -> pa.Table:
    """The table with nothing in a column of some rows."""
    kept = [None if drop else value for drop, value in zip(gone, table[column].to_pylist(), strict=True)]
    field = table.schema.field(column)
    return table.set_column(table.schema.get_field_index(column), field, pa.array(kept, field.type))


def missing(table: pa.Table, share: float, seed: int) -> pa.Table:
    """Text and sketch each missing, by themselves, in a share of the training rows."""
    for column in ("text", "sketch"):
        gone = [
            split == "train" and chance(seed, column, name) < share
            for name, split in zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)
        ]
        table = without(table, column, gone)
        if column == "text":
            table = without(table, "tags", gone)
    return table


def kept(table: pa.Table, share: float, seed: int) -> pa.Table:
    """A share of the training rows, and all held-out ones."""
    return table.filter(pa.array([not gone for gone in _gone(table, share, seed)]))


def halves(table: pa.Table, share: float, seed: int) -> pa.Table:
    """`kept`, and each other training row as two that nobody paired: its picture, and its words."""
    rest = table.filter(pa.array(_gone(table, share, seed)))
    every = [True] * len(rest)
    images, words = rest, without(without(rest, "image", every), "sketch", every)
    for column in ("text", "tags", "sketch"):
        images = without(images, column, every)
    names = pa.array([f"{name}-words" for name in rest["id"].to_pylist()])
    words = words.set_column(words.schema.get_field_index("id"), words.schema.field("id"), names)
    return pa.concat_tables([kept(table, share, seed), images, words])


def _gone(table: pa.Table, share: float, seed: int) -> list[bool]:
    return [
        split == "train" and chance(seed, "kept", name) >= share
        for name, split in zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)
    ]


def noise_for_sketches(table: pa.Table) -> pa.Table:
    """Held-out rows whose sketches are black and white noise."""
    cells = []
    for name in table["id"].to_pylist():
        rng = np.random.default_rng(int.from_bytes(digest("noise", name, size=6)))
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 2, (64, 64), np.uint8) * 255).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    field = table.schema.field("sketch")
    return table.set_column(table.schema.get_field_index("sketch"), field, pa.array(cells, field.type))


def noise_for_texts(table: pa.Table) -> pa.Table:
    """Held-out rows whose texts are as many letters in no order."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    texts = [
        "".join(np.random.default_rng(int.from_bytes(digest("letters", name, size=6))).choice(letters, 24))
        for name in table["id"].to_pylist()
    ]
    return table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
