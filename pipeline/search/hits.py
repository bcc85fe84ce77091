"""The few rows that were found, whole: what stands of them in the output, and the media that they were made from."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, results
from pipeline.ledger import Plan
from pipeline.report import rows
from pipeline.report.rows import Places
from pipeline.search.exact import Found
from pipeline.stages.load import Reader
from pipeline.storage import Stored


@dataclasses.dataclass(frozen=True)
class Hit:
    """One answer, as it is shown."""

    rank: int  # from 1
    similarity: float
    row_id: str
    source_id: str
    cell: str
    scores: Mapping[str, float | None]
    result: pa.Table  # the output's columns of it, one row
    inputs: Mapping[str, Any]  # role -> cell of the input, encoded; nothing where the input file is gone
    text: str  # the input's


def hits(run: str, plan: Plan, objects: Sequence[Stored], found: Sequence[Found]) -> list[Hit]:
    """What was found, in that order. Each object is read once, a few hundred rows at a time."""
    fields = [field.name for field in results.of(plan.task).fields]
    columns = ("row_id", "source_id", "cell", "scores", *fields)
    shown: dict[str, dict[str, Any]] = {}
    places: dict[str, tuple[int, int]] = {}
    for number in dict.fromkeys(f.object for f in found):
        here = sorted(f.row for f in found if f.object == number)
        table = Reader(objects[number], {name: name for name in columns}).rows(here)
        own, made = table.drop_columns(fields).to_pylist(), table.select(fields)
        shown |= {r["row_id"]: {**r, "result": made.slice(i, 1)} for i, r in enumerate(own)}
        places |= _places(run, plan, objects[number], [r["row_id"] for r in own])
    inputs = rows.inputs(plan, places)
    names = ("row_id", "source_id", "cell", "scores", "result")
    given = [inputs.get(f.row_id, {}) for f in found]
    values = ({**{n: shown[f.row_id][n] for n in names}, "inputs": i} for f, i in zip(found, given, strict=True))
    return [
        Hit(rank, f.similarity, **v, text=rows.words(plan.task, v["inputs"]))
        for rank, (f, v) in enumerate(zip(found, values, strict=True), 1)
    ]


def _places(run: str, plan: Plan, stored: Stored, row_ids: Sequence[str]) -> Places:
    """Where the inputs of some rows of one object stand."""
    shard = int(stored.uri.rsplit("/", 1)[-1].removesuffix(".parquet"))
    planned = ledger.shard_rows(run, plan, shard)
    return {
        r["row_id"]: (r["file"], r["row"])
        for r in planned.filter(pc.field("row_id").isin(pa.array(row_ids, pa.string()))).to_pylist()
    }
