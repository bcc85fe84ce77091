"""A finished run without a model: a real plan, and objects of its shards with scores that a test decides."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline import audit, ledger, schema, storage
from pipeline.adopt import adopt_or_make
from pipeline.cells import Cell
from pipeline.cells import models as models_of
from pipeline.ledger import Plan
from pipeline.models import checkpoint
from pipeline.results.image import ImageResult
from tests import make, tiny

SIZE = 16  # of embeddings
PICTURES = 40  # that differ
SCORES = ("clip_text", "clip_sketch", "clip_image", "sketch_f1", "delta_e")

Score = Callable[[Cell, np.random.Generator], Mapping[str, float]]  # scores of one row


def by_text(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
    """The text's weight is best at 2, the sketch's says nothing."""
    text = 0.5 - 0.1 * abs(cell.guidance["text"] - 2) + 0.01 * rng.normal()
    return {**{name: 0.8 + 0.05 * rng.normal() for name in SCORES}, "clip_text": text, "delta_e": 20 + rng.normal()}


def photographs(count: int, side: int) -> list[dict[str, Any]]:
    """Pictures with as much in them as photographs: soft noise."""
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, (side // 4, side // 4, 3), np.uint8)) for _ in range(count)]
    return [{"bytes": _webp(s.resize((side, side), Image.Resampling.BICUBIC)), "path": None} for s in small]


def _webp(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=90)
    return out.getvalue()


def run(
    models: Mapping[str, str], folder: Path, inputs: int, score: Score, *more: str, side: int | None = None
) -> tuple[str, Plan]:
    """(output, plan) of a run over `inputs` inputs; every 50th fails. Results are drawings, or of `side` pixels."""
    made = tiny.rows(min(inputs, PICTURES))
    pictures = photographs(len(made), side) if side else [m["image"] for m in made]
    rows = [
        {**made[i % len(made)], "id": f"in-{i:05d}", "text": f"{made[i % len(made)]['text']} {i}"}
        for i in range(inputs)
    ]
    source = tiny.write(folder / f"in-{inputs}.parquet", rows, row_group_rows=256)
    settings = make.generate(dict(models), str(source), str(folder / "out"), "shard_rows=256", *more)
    judge = checkpoint.fingerprint(models["judge"])
    plan = adopt_or_make(settings, [{"model": checkpoint.fingerprint(m), "judge": judge} for m in models_of(settings)])
    cells = {cell.name: cell for cell in plan.cells}
    rng = np.random.default_rng(0)
    for shard, planned in ledger.planned(settings.output, plan):
        done = [_row(r, cells[r["cell"]], pictures, score, rng) for r in planned.to_pylist()]
        storage.put_new(
            ledger.shard_uri(settings.output, shard), storage.to_parquet(_table(done, shard, settings.input.keep))
        )
    audit.write_success(settings.output, audit.audit(settings.output, plan), {})
    return settings.output, plan


def _row(planned: dict[str, Any], cell: Cell, pictures: Any, score: Score, rng: np.random.Generator) -> dict[str, Any]:
    number = int(planned["source_id"].removeprefix("in-"))
    bad = number % 50 == 49
    vectors = rng.normal(size=(4, SIZE)) + np.arange(4)[:, None]
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    result = {
        "image": pictures[number % len(pictures)],
        "embedding": unit[0],
        "scores": dict(score(cell, rng)),
    }
    versions = {"torch": "2", "device": "cpu", "judge": "j", "model": "m"}
    own = {k: planned[k] for k in ("row_id", "source_id", "cell", "sample_index", "seed")}
    return {
        **own,
        "status": "failed" if bad else "ok",
        "error": {"stage": "decode", "kind": "MediaError", "message": "is not a picture"} if bad else None,
        "selected": not bad,
        "input_embeddings": {"text": unit[1], "sketch": unit[2], "image": unit[3]},
        "present": dict.fromkeys(("text", "sketch", "image"), True),
        "guidance": dict(cell.guidance),
        "provenance": {**versions, "scheduler": cell.scheduler, "steps": str(cell.steps)},
        "group": "even" if number % 2 == 0 else "odd",
        **({} if bad else result),
    }


def _table(rows: list[dict[str, Any]], shard: int, keep: tuple[str, ...]) -> pa.Table:
    roles = ["text", "sketch", "image"]
    names = schema.Names(roles, roles, SCORES, ["text", "sketch", "all"], sorted(rows[0]["provenance"]))
    kept = schema.Kept([pa.field(name, pa.string()) for name in keep])
    declared = schema.output(ImageResult.fields, names, SIZE, kept)
    facts = {"shard": shard, "seconds": {"encode": 1.0, "sample": 8.0, "finish": 1.0}, "forwards": 9 * len(rows)}
    metadata = {**(declared.metadata or {}), b"run": json.dumps(facts).encode()}
    return pa.Table.from_pylist(rows, declared).replace_schema_metadata(metadata)
