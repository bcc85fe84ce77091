"""Mutated inputs through planning, loading and decoding: python -m tests.fuzz FOLDER SEED FIRST COUNT.

Prints what became of each case as a line of JSON. It is run as a process of its own, so that a reader that crashes
costs one case, which was announced before it. A case ends well as a refusal in plain words, or in failed and good rows.
"""

import collections
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.adopt import adopt_or_make
from pipeline.patience import StorageError
from pipeline.settings import RunError, SettingsError
from pipeline.stages import Job
from pipeline.stages.decode import decode
from pipeline.stages.load import Load
from tests import make, tiny

ROWS, BAD = 8, 3
PROCESS_CASES, PROCESS_SECONDS = 100, 300
HASHES = ({"model": "m", "judge": "j"},)
MODELS = {"path": "starter:sketch_to_image", "judge": "starter:judge"}
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
Rows = list[dict[str, Any]]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some of them flipped, cut off, zeroed, doubled or exchanged."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at, length = rng.randrange(len(out)), rng.choice((1, 4, 64, 1000))
        match rng.randrange(6):
            case 0 | 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                out[at : at + length] = rng.randbytes(len(out[at : at + length]))
            case 3:
                out[at : at + length] = bytes(len(out[at : at + length]))
            case 4:
                out[at:at] = out[at : at + length]
            case _:
                del out[at : at + length]
        if not out:
            return b""
    return bytes(out)


def file_bytes(rng: random.Random) -> bytes:
    """A good file, of which some bytes are not what they were; more often near its end, where the footer is."""
    out = io.BytesIO()
    table = pa.Table.from_pylist(tiny.rows(ROWS), tiny.SCHEMA)
    pq.write_table(table, out, row_group_size=4, compression=rng.choice(("none", "snappy", "zstd")))
    data = out.getvalue()
    cut = rng.choice((0, len(data) - 4000, len(data) - 600))
    return data[:cut] + mutated(data[cut:], rng)


def media(rng: random.Random) -> bytes:
    """A good file with broken pictures."""
    rows = tiny.rows(ROWS)
    for row in rng.sample(rows, BAD):
        column = rng.choice(("image", "sketch"))
        picture = Image.fromarray(np.random.default_rng(rng.randrange(2**32)).integers(0, 255, (40, 30, 3), np.uint8))
        out = io.BytesIO()
        picture.save(out, rng.choice(FORMATS))
        row[column] = {"bytes": mutated(out.getvalue(), rng), "path": None}
    return _written(rows)


def texts(rng: random.Random) -> bytes:
    """A good file with texts that are none: bytes that are not UTF-8, control characters, very long ones."""
    rows = tiny.rows(ROWS)
    column = [str(r["text"]).encode() for r in rows]
    for row in rng.sample(range(ROWS), BAD):
        column[row] = rng.choice((rng.randbytes(20), b"\x00" * 9, b"\xff\xfe", "\u202e\U0001f9ff".encode() * 9000, b""))
    offsets = np.cumsum([0, *map(len, column)]).astype(np.int32)
    array = pa.Array.from_buffers(pa.string(), ROWS, [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(column))])
    table = pa.Table.from_pylist(rows, tiny.SCHEMA)
    return _parquet(table.set_column(table.column_names.index("text"), "text", array))


def types(rng: random.Random) -> bytes:
    """A good file with a column of another type, or of many nulls, or without rows."""
    table = pa.Table.from_pylist(tiny.rows(ROWS), tiny.SCHEMA)
    others: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.nulls(ROWS),
        lambda: pa.array(range(ROWS), pa.int8()),
        lambda: pa.array([[i] for i in range(ROWS)], pa.list_(pa.int64())),
        lambda: pa.array([{"bytes": i} for i in range(ROWS)]),
        lambda: pa.array([float("nan")] * ROWS),
        lambda: pa.array([b"\x89PNG"] * ROWS, pa.large_binary()),
        lambda: pa.array(["x"] * ROWS).dictionary_encode(),
        lambda: pa.array([None, "x"] * (ROWS // 2), pa.large_string()),
    )
    name = rng.choice(("id", "text", "image", "sketch"))
    changed = table.set_column(table.column_names.index(name), name, rng.choice(others)())
    return _parquet(changed.slice(0, rng.choice((ROWS, ROWS, 0))))


MUTATIONS = (file_bytes, file_bytes, media, texts, types)
SPARED = {media: ROWS - BAD, texts: ROWS - BAD}  # mutation -> rows that it leaves whole, which must not fail


def _written(rows: Rows) -> bytes:
    return _parquet(pa.Table.from_pylist(rows, tiny.SCHEMA))


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=4)
    return out.getvalue()


def outcome(folder: Path, data: bytes, spared: int) -> str:
    """What became of an input of which at least `spared` rows must be good."""
    folder.mkdir()
    (folder / "in.parquet").write_bytes(data)
    settings = make.generate(MODELS, str(folder / "in.parquet"), str(folder / "out"))
    try:
        plan = adopt_or_make(settings, HASHES)
        load = Load(Job(settings, HASHES[0]))
        errors = []
        for shard in range(plan.shards):
            block = load(pa.table({"shard": pa.array([shard], pa.int32())}))
            errors += decode(block, settings.task.roles, settings.task.conditions)[1]
    except (SettingsError, StorageError, RunError) as error:
        return f"BROKEN: not one line: {error}" if "\n" in str(error) else f"refused: {type(error).__name__}"
    if len(errors) != plan.rows:
        return f"BROKEN: {plan.rows} rows were planned, {len(errors)} came out"
    if errors.count(None) < spared:
        return f"BROKEN: only {errors.count(None)} of {spared} whole rows are good"
    return "failed rows" if any(errors) else "good rows"


def main(folder: str, seed: str, first: str, count: str) -> None:
    """Try the cases first .. first + count - 1 of a seed."""
    for case in range(int(first), int(first) + int(count)):
        rng = random.Random(f"{seed}-{case}")
        mutation = MUTATIONS[case % len(MUTATIONS)]
        print(json.dumps({"case": case, "mutation": mutation.__name__}), flush=True)  # before, in case of a crash
        found = outcome(Path(folder) / str(case), mutation(rng), SPARED.get(mutation, 0))
        print(json.dumps({"case": case, "mutation": mutation.__name__, "outcome": found}), flush=True)


def tally(lines: list[str]) -> collections.Counter[tuple[str, str]]:
    """(mutation, outcome) -> cases, of what `main` printed. A case without an outcome crashed its process."""
    begun, ended = {}, {}
    for line in lines:
        said = json.loads(line)
        (ended if "outcome" in said else begun)[said["case"]] = said
    ended |= {case: {**said, "outcome": "BROKEN: crashed"} for case, said in begun.items() if case not in ended}
    return collections.Counter((s["mutation"], s["outcome"]) for s in ended.values())


def fuzz(folder: Path, seed: int, cases: int) -> collections.Counter[tuple[str, str]]:
    """Try many cases in processes of their own, one after another; as `tally`."""
    lines: list[str] = []
    for first in range(0, cases, PROCESS_CASES):
        count = min(PROCESS_CASES, cases - first)
        command = [sys.executable, "-m", "tests.fuzz", str(folder), str(seed), str(first), str(count)]
        try:
            child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PROCESS_SECONDS, check=False)
            lines += child.stdout.splitlines()
        except subprocess.TimeoutExpired as error:  # a case that hangs is the last one that was begun
            lines += (error.stdout or b"").decode().splitlines()
    return tally(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
