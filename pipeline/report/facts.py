"""What the page tells, gathered from the objects of a run: scores, failures, seconds, and rows to look at."""

import collections
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.stages.load import Reader

SHOWN_INPUTS = 40  # in the contact sheet
SHOWN_EXTREMES = 8  # best and worst rows, each


@dataclasses.dataclass(frozen=True)
class Facts:
    """All figures of a run."""

    plan: Plan
    ok: int
    failed: int
    scores: Mapping[str, Mapping[str, NDArray[np.float32]]]  # score -> cell -> values [rows], NaN where missing
    failures: Mapping[str, list[str]]  # "stage kind" -> messages
    seconds: Mapping[str, float]  # stage -> seconds over all shards
    forwards: int
    sheet: tuple[Mapping[str, Any], ...]  # inputs with their results
    best: tuple[Mapping[str, Any], ...]
    worst: tuple[Mapping[str, Any], ...]


def gather(output: str, plan: Plan) -> Facts:
    """Read the objects twice: columns of figures of all rows, then whole rows of the few that are shown."""
    figures = _figures(output)
    seconds, forwards = _facts(output)
    task = plan.identity["task"]
    ranked = _ranked(figures, task["best_by"])
    chosen = _spread(plan, figures)
    shown = _rows(output, plan, [*chosen, *ranked[:SHOWN_EXTREMES], *ranked[-SHOWN_EXTREMES:]])
    by_input = collections.defaultdict(list)
    for row_id in chosen:
        by_input[shown[row_id]["source_id"]].append(shown[row_id])
    failed = [r for r in figures if r["status"] != "ok"]
    return Facts(
        plan=plan,
        ok=len(figures) - len(failed),
        failed=len(failed),
        scores={name: _by_cell(figures, name) for name in task["scores"]},
        failures=_failures(failed),
        seconds=seconds,
        forwards=forwards,
        sheet=tuple({**rows[0], "results": rows} for rows in by_input.values()),
        best=tuple(shown[r] for r in ranked[:SHOWN_EXTREMES]),
        worst=tuple(shown[r] for r in ranked[::-1][:SHOWN_EXTREMES]),
    )


def _figures(output: str) -> list[dict[str, Any]]:
    columns = ["row_id", "source_id", "cell", "status", "error", "scores"]
    rows: list[dict[str, Any]] = []
    for stored in ledger.data_objects(output):
        with storage.open_parquet(stored.uri) as parquet:
            rows += parquet.read(columns=columns).to_pylist()
    return rows


def _facts(output: str) -> tuple[dict[str, float], int]:
    seconds, forwards = collections.Counter[str](), 0
    for stored in ledger.data_objects(output):
        facts = ledger.shard_facts(stored.uri)
        for stage, spent in facts["seconds"].items():
            seconds[stage] += spent
        forwards += facts["forwards"]
    return dict(seconds), forwards


def _by_cell(figures: Sequence[Mapping[str, Any]], score: str) -> dict[str, NDArray[np.float32]]:
    values: dict[str, list[float]] = {}
    for row in figures:
        value = (row["scores"] or {}).get(score)
        values.setdefault(row["cell"], []).append(math.nan if value is None else value)
    return {cell: np.array(v, np.float32) for cell, v in values.items()}


def _ranked(figures: Sequence[Mapping[str, Any]], score: str) -> list[str]:
    """Row ids that have the score, best first."""
    scored = [(r["scores"][score], r["row_id"]) for r in figures if r["scores"] and r["scores"][score] is not None]
    return [row_id for _, row_id in sorted(scored, reverse=True)]


def _spread(plan: Plan, figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Row ids of all results of inputs that are spread evenly over the run."""
    sources = list(dict.fromkeys(r["source_id"] for r in figures if r["status"] == "ok"))
    count = min(SHOWN_INPUTS, max(1, SHOWN_INPUTS * 4 // len(plan.cells)), len(sources))
    kept = {sources[i * len(sources) // count] for i in range(count)} if count else set()
    return [r["row_id"] for r in figures if r["source_id"] in kept and r["status"] == "ok"]


def _failures(failed: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for row in failed:
        error = row["error"]
        reasons.setdefault(f"{error['stage']}: {error['kind']}", []).append(f"{row['source_id']}: {error['message']}")
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def _rows(output: str, plan: Plan, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Result, scores and inputs of some rows, by row id."""
    ids, found = set(wanted), {}
    for planned in _planned(output, plan):
        here = [r for r in planned.to_pylist() if r["row_id"] in ids]
        if not here:
            continue
        with storage.open_parquet(ledger.shard_uri(output, here[0]["shard"])) as parquet:
            results = {r["row_id"]: r for r in parquet.read().to_pylist()}
        for row in here:
            found[row["row_id"]] = {**results[row["row_id"]], "file": row["file"], "row": row["row"]}
    _attach_inputs(plan, list(found.values()))
    return found


def _planned(output: str, plan: Plan) -> Iterator[pa.Table]:
    """Planned rows, shard by shard."""
    for part in plan.parts:
        with storage.open_parquet(storage.join(output, "plan", part.name)) as parquet:
            for group in range(part.shards):
                yield parquet.read_row_group(group)


def _attach_inputs(plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Give each row the cells of its input, by role."""
    identity = plan.identity
    columns = {r: c for r in identity["task"]["roles"] if (c := identity["input"]["columns"].get(r))}
    for number, file in enumerate(plan.files):
        places = sorted({r["row"] for r in rows if r["file"] == number})
        if not places:
            continue
        media = Reader(file, columns).rows(places).rename_columns(list(columns)).to_pylist()
        inputs = dict(zip(places, media, strict=True))
        for row in rows:
            if row["file"] == number:
                row["inputs"] = inputs[row["row"]]


def command(plan: Plan) -> str:
    """The settings of a run as one JSON document, for the page."""
    return json.dumps(plan.identity, indent=2)
