"""Memory and time of an evaluation by its number of rows: python -m tests.million FOLDER 100000 1000000.

The run is a synthetic one: 512-d embeddings around 8 centres, in 8 slices, beside references, texts and two scores.
Writes FOLDER/million.json and prints a table.
"""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import ledger, storage
from pipeline.cells import Cell
from pipeline.ledger import Part, Plan
from tests.memory import ROOT, peaks

WIDTH, SLICES, SHARD_ROWS = 512, 8, 4000
ROLES, SCORES = ("text", "image"), ("clip_text", "delta_e")


def make_run(output: str, rows: int) -> None:
    """As jobs/generate.py would have left it, as far as an evaluation reads it."""
    shards = -(-rows // SHARD_ROWS)
    task = {"roles": {r: r for r in ROLES}, "result": "image", "scores": dict.fromkeys(SCORES, "")}
    identity = {"task": task, "model": {"judge": "none"}}
    cell = Cell("", {}, (), "ddim", 10, "none")
    made = Plan(("none",), identity, (cell,), (), (Part("none", 0, shards, rows),), rows, rows, "", {})
    for shard in range(shards):
        storage.put(ledger.shard_uri(output, shard), storage.to_parquet(_shard(shard, rows)))
    storage.put(ledger.plan_uri(output), made.to_json())
    storage.put(ledger.success_uri(output), b"{}")


def _shard(shard: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(shard)
    count = min(SHARD_ROWS, rows - shard * SHARD_ROWS)
    names = [f"row-{shard * SHARD_ROWS + i:08d}" for i in range(count)]
    group = rng.integers(0, SLICES, count)
    centres = np.random.default_rng(0).normal(size=(SLICES, WIDTH))
    inputs = {role: _vectors(rng, centres[group]) for role in ROLES}
    scores = [pa.array(rng.random(count), pa.float32()) for _ in SCORES]
    return pa.table(
        {
            "row_id": names,
            "source_id": names,
            "cell": [""] * count,
            "status": ["ok"] * count,
            "slice": [f"slice {g}" for g in group],
            "scores": pa.StructArray.from_arrays(scores, SCORES),
            "embedding": _vectors(rng, centres[group]),
            "input_embeddings": pa.StructArray.from_arrays(list(inputs.values()), ROLES),
        }
    )


def _vectors(rng: np.random.Generator, centres: np.ndarray) -> pa.Array:  # type: ignore[type-arg]
    drawn = centres + rng.normal(size=centres.shape)
    unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    return pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), WIDTH)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One evaluation."""

    rows: int
    seconds: float
    driver: float  # MB
    worker: float
    all: float


def measure(folder: Path, rows: int) -> Measured:
    """Make a run and evaluate it."""
    run = str(folder / str(rows))
    make_run(run, rows)
    command = [sys.executable, "jobs/evaluate.py", f"run={run}", "by=[slice]", "cluster.object_store_bytes=500000000"]
    began = time.monotonic()
    with (folder / f"log-{rows}").open("wb") as log:
        found = peaks(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
    return Measured(rows, time.monotonic() - began, **found)


def main(output: str, *counts: str) -> None:
    """Measure evaluations of so many rows each."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    print("| rows | seconds | ms a row | driver, MB | largest worker, MB | all together, MB |")
    print("| ---: " * 6 + "|")
    found = []
    for count in map(int, counts):
        m = measure(folder, count)
        found.append(dataclasses.asdict(m))
        cost = 1000 * m.seconds / m.rows
        print(
            f"| {m.rows:,} | {m.seconds:.0f} | {cost:.2f} | {m.driver:.0f} | {m.worker:.0f} | {m.all:.0f} |", flush=True
        )
    (folder / "million.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
