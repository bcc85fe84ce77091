"""Whole rows of a run by their ids: results and scores from data/, media from the input's own files."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.patience import StorageError, patiently
from pipeline.stages.load import Reader
from pipeline.storage import Stored


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
    """Result, scores and inputs of some rows, by row id."""
    found: dict[str, dict[str, Any]] = {}
    ids = pa.array(list(wanted), pa.string())
    for shard, planned in ledger.planned(output, plan):
        here = planned.filter(pc.field("row_id").isin(ids))
        if not len(here):
            continue
        results = read(ledger.shard_uri(output, shard)).filter(pc.field("row_id").isin(ids))
        by_id = {r["row_id"]: r for r in results.to_pylist()}
        for row in here.to_pylist():
            found[row["row_id"]] = {**by_id[row["row_id"]], "file": row["file"], "row": row["row"]}
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
