"""Whole rows of a run by their ids: results and scores from data/, media from the input's own files."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, results, storage
from pipeline.enrichment import text_role
from pipeline.ledger import Plan
from pipeline.patience import StorageError, patiently
from pipeline.settings import Task
from pipeline.stages.load import Reader

Places = Mapping[str, tuple[int, int]]  # row id -> number of its input file, row there


@patiently
def read(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of one object, None for all."""
    with storage.open_parquet(uri) as parquet:
        return parquet.read(columns=columns)


@patiently
def first(uri: str, column: str) -> Any:
    """A column's value in the first row of one object: for what all rows of a shard share."""
    with storage.open_parquet(uri) as parquet:
        return next(parquet.iter_batches(1, columns=[column]))[0][0].as_py()


def whole(output: str, plan: Plan, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """Scores, inputs and result of some rows, by row id; the result's columns as a table of one row (`result`)."""
    columns = [field.name for field in results.of(plan.task).fields]
    found: dict[str, dict[str, Any]] = {}
    ids = pa.array(list(wanted), pa.string())
    for shard, planned in ledger.planned(output, plan):
        here = planned.filter(pc.field("row_id").isin(ids))
        if not len(here):
            continue
        table = read(ledger.shard_uri(output, shard)).filter(pc.field("row_id").isin(ids))
        made = table.select(columns)  # as Python's numbers, motions would take ten times their bytes
        by_id = {
            r["row_id"]: {**r, "result": made.slice(i, 1)}
            for i, r in enumerate(table.drop_columns(columns).to_pylist())
        }
        for row in here.to_pylist():
            found[row["row_id"]] = {**by_id[row["row_id"]], "file": row["file"], "row": row["row"]}
    _attach_inputs(plan, list(found.values()))
    return found


def _attach_inputs(plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Give each row the cells of its input, by role; in place of a text that was enriched, what it became."""
    found = inputs(plan, {r["row_id"]: (r["file"], r["row"]) for r in rows})
    role = text_role(plan.task)
    for row in rows:
        row["inputs"] = {**dict.fromkeys(plan.task.roles), **found.get(row["row_id"], {})}
        if role and row.get("enriched"):
            row["inputs"][role] = row["enriched"]


def inputs(plan: Plan, places: Places) -> dict[str, dict[str, Any]]:
    """Row id -> its input by role; without the rows of files that are other ones now, or gone: results stand all
    the same."""
    given = plan.identity["input"]["columns"]
    columns = {role: name for role in plan.task.roles if (name := given.get(role))}
    found: dict[str, dict[str, Any]] = {}
    for number, file in enumerate(plan.files if columns else ()):
        wanted = sorted({row for at, row in places.values() if at == number})
        if not wanted:
            continue
        try:
            media = dict(zip(wanted, Reader(file, columns).rows(wanted).to_pylist(), strict=True))
        except StorageError:
            continue
        found |= {name: media[row] for name, (at, row) in places.items() if at == number}
    return found


def original(row: Mapping[str, Any]) -> str:
    """The text of a row's input before a language model rewrote it; "" where none did."""
    return str(row["original"] or "") if "enrich_error" in row else ""


def words(task: Task, given: Mapping[str, Any]) -> str:
    """The text of an input, of its cells by role; "" where it has none."""
    return next((str(given.get(role) or "") for role, kind in task.roles.items() if kind == "text"), "")
