"""Inputs of the measurements: the embedded sample under new ids, and rows of 8 to 10 kB for the engine itself."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.schema import HF_IMAGE

SAMPLE = "starter:samples/openmoji.parquet"
BYTES = (8_000, 10_000)  # of a heavy row's picture
ROWS, GROUP = 4096, 512  # heavy rows of a file, and of a row group: the same however many there are in all


def sample(path: Path, rows: int) -> Path:
    """A file of that many rows of the embedded sample, again and again under new ids."""
    with storage.open_parquet(SAMPLE) as parquet:
        table = parquet.read()
    taken = table.take(pa.array(np.arange(rows) % len(table)))
    ids = pa.array([f"row-{i:07d}" for i in range(rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(taken.set_column(taken.column_names.index("id"), "id", ids), part, row_group_size=256)
    return part.rename(path)


def heavy(folder: Path, rows: int) -> Path:
    """A folder of Parquet files with that many rows: id, text, image. The bytes are noise, as those of pictures are."""
    part = folder.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    bounds = [*range(0, rows, ROWS), rows]
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        path = part / f"{number:05d}.parquet"
        pq.write_table(_heavy(first, last), path, compression="none", row_group_size=GROUP)
    return part.rename(folder)


def _heavy(first: int, last: int) -> pa.Table:
    rng = np.random.default_rng(first)
    sizes = rng.integers(*BYTES, last - first)
    images = [{"bytes": rng.bytes(int(size)), "path": None} for size in sizes]
    ids = [f"row-{i:07d}" for i in range(first, last)]
    return pa.table({"id": ids, "text": [f"a picture of {i}" for i in ids], "image": pa.array(images, HF_IMAGE)})
