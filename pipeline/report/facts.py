"""What the page tells, gathered from the objects of a run: scores, failures, seconds, and rows to look at."""

import collections
import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.patience import StorageError
from pipeline.stages.load import Reader
from pipeline.storage import Stored

FIGURES = ("row_id", "source_id", "cell", "status", "error", "scores")
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
    task = plan.identity["task"]
    figures = pa.concat_tables(_read(o.uri, FIGURES) for o in ledger.data_objects(output))
    seconds, forwards = _facts(output)
    ranked = _ranked(figures, task["best_by"])
    chosen = _spread(plan, figures)
    shown = _rows(output, plan, {*chosen, *ranked[:SHOWN_EXTREMES], *ranked[-SHOWN_EXTREMES:]})
    by_input = collections.defaultdict(list)
    for row_id in chosen:
        by_input[shown[row_id]["source_id"]].append(shown[row_id])
    failed = figures.filter(pc.field("status") != "ok")
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


def _read(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    with storage.open_parquet(uri) as parquet:
        return parquet.read(columns=columns)


def _facts(output: str) -> tuple[dict[str, float], int]:
    """(seconds of each stage, forwards of the network), over all objects."""
    seconds, forwards = collections.Counter[str](), 0
    for stored in ledger.data_objects(output):
        facts = ledger.shard_facts(stored.uri)
        for stage, spent in facts["seconds"].items():
            seconds[stage] += spent
        forwards += facts["forwards"]
    return dict(seconds), forwards


def _score(figures: pa.Table, name: str) -> NDArray[np.float32]:
    """Values of a score [rows], NaN where missing."""
    column = pc.struct_field(figures["scores"], name)
    return np.asarray(pc.fill_null(column, math.nan).to_numpy(), dtype=np.float32)


def _by_cell(figures: pa.Table, score: str) -> dict[str, NDArray[np.float32]]:
    values, cells = _score(figures, score), figures["cell"].to_numpy()
    return {cell: values[cells == cell] for cell in pc.unique(figures["cell"]).to_pylist()}


def _ranked(figures: pa.Table, score: str) -> list[str]:
    """Row ids that have the score, best first: the highest, or of "-score" the lowest."""
    sign = -1 if score.startswith("-") else 1
    values = sign * _score(figures, score.removeprefix("-"))
    order = np.argsort(-values, kind="stable")[: int(np.isfinite(values).sum())]
    return [str(name) for name in figures["row_id"].take(pa.array(order)).to_pylist()]


def _spread(plan: Plan, figures: pa.Table) -> list[str]:
    """Row ids of all results of inputs that are spread evenly over the run."""
    good = figures.filter(pc.field("status") == "ok")
    sources = pc.unique(good["source_id"])
    count = min(SHOWN_INPUTS, max(1, SHOWN_INPUTS * 4 // len(plan.cells)), len(sources))
    kept = sources.take(pa.array([i * len(sources) // count for i in range(count)], pa.int64()))
    return [str(name) for name in good.filter(pc.field("source_id").isin(kept))["row_id"].to_pylist()]


def _failures(failed: pa.Table) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for row in failed.to_pylist():
        error = row["error"]
        reasons.setdefault(f"{error['stage']}: {error['kind']}", []).append(f"{row['source_id']}: {error['message']}")
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def _rows(output: str, plan: Plan, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """Result, scores and inputs of some rows, by row id."""
    found: dict[str, dict[str, Any]] = {}
    for shard, planned in ledger.planned(output, plan):
        here = planned.filter(pc.field("row_id").isin(pa.array(list(wanted), pa.string())))
        if not len(here):
            continue
        results = {r["row_id"]: r for r in _read(ledger.shard_uri(output, shard)).to_pylist()}
        for row in here.to_pylist():
            found[row["row_id"]] = {**results[row["row_id"]], "file": row["file"], "row": row["row"]}
    _attach_inputs(plan, list(found.values()))
    return found


def _attach_inputs(plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Give each row the cells of its input, by role."""
    identity = plan.identity
    columns = {r: c for r in identity["task"]["roles"] if (c := identity["input"]["columns"].get(r))}
    for number, file in enumerate(plan.files):
        places = sorted({r["row"] for r in rows if r["file"] == number})
        if not places:
            continue
        media = dict(zip(places, _media(file, columns, places), strict=True))
        for row in rows:
            if row["file"] == number:
                row["inputs"] = {**dict.fromkeys(identity["task"]["roles"]), **media[row["row"]]}


def _media(file: Stored, columns: Mapping[str, str], places: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of an input file; nothing where the file is another one now, or gone: the results stand all the same."""
    try:
        found: list[dict[str, Any]] = Reader(file, columns).rows(list(places)).to_pylist() if columns else []
    except StorageError:
        found = []
    return found or [{} for _ in places]


def command(plan: Plan) -> str:
    """The settings of a run as one JSON document, for the page."""
    return json.dumps(plan.identity, indent=2)
