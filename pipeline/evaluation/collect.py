"""The stored columns of a run that its evaluation needs, one unit at a time.

A unit is a shard of each model of the run: the same inputs under all cells. So everything of an input is met at once,
and what is kept between units does not grow with them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import ledger, results, storage
from pipeline.kinds import judged
from pipeline.ledger import Plan
from pipeline.patience import patiently
from pipeline.settings import SettingsError

Features = NDArray[np.floating]  # [N, E] in the type they came in: float16 as stored, float32 from a network
Group = tuple[str, ...]  # values of the columns by which figures are grouped
COLUMNS = ("row_id", "source_id", "status", "scores", "embedding", "input_embeddings")


@dataclasses.dataclass(frozen=True)
class Rows:
    """N rows that went well, as columns."""

    row_id: NDArray[np.str_]  # [N]
    source_id: NDArray[np.str_]  # [N]
    unit: NDArray[np.str_]  # [N], what each is drawn as: its input, or a group of inputs
    groups: tuple[Group, ...]  # [N]
    scores: NDArray[np.float64]  # [N, S], NaN where missing
    result: Features  # in the judge's space
    reference: Features  # of the inputs' own result, rows of NaN where there is none
    conditions: Mapping[str, Features]  # by other role of the input, rows of NaN where absent

    @classmethod
    def joined(cls, pieces: Sequence["Rows"]) -> "Rows":
        """One after the other."""
        return cls(
            np.concatenate([p.row_id for p in pieces]),
            np.concatenate([p.source_id for p in pieces]),
            np.concatenate([p.unit for p in pieces]),
            tuple(group for p in pieces for group in p.groups),
            np.concatenate([p.scores for p in pieces]),
            np.concatenate([p.result for p in pieces]),
            np.concatenate([p.reference for p in pieces]),
            {role: np.concatenate([p.conditions[role] for p in pieces]) for role in pieces[0].conditions},
        )

    def take(self, index: NDArray[np.intp]) -> "Rows":
        """Some of the rows."""
        return Rows(
            self.row_id[index],
            self.source_id[index],
            self.unit[index],
            tuple(self.groups[i] for i in index),
            self.scores[index],
            self.result[index],
            self.reference[index],
            {role: values[index] for role, values in self.conditions.items()},
        )


def finished(run: str) -> Plan:
    """The plan of a run that has ended. Raises SettingsError for one that has not."""
    plan = ledger.load(run)
    if plan is None:
        raise SettingsError(f"run={run} holds no run: there is no {ledger.plan_uri(run)}")
    if not storage.stat_or_none(ledger.success_uri(run)):
        raise SettingsError(f"run={run} is not finished: there is no _SUCCESS; give jobs/generate.py its command again")
    return plan


def units(plan: Plan) -> list[list[int]]:
    """The shards of each unit."""
    models = len(plan.fingerprints)
    each = plan.shards // models
    return [[shard + model * each for model in range(models)] for shard in range(each)]


@patiently
def read(run: str, plan: Plan, shards: Sequence[int], by: Sequence[str], drawn_by: str | None = None) -> Rows:
    """The rows of one unit that went well; their inputs are drawn by a column, or each by itself. Raises SettingsError
    for a column that is not there."""
    further = [*by, *([drawn_by] if drawn_by else [])]
    table = pa.concat_tables([_table(ledger.shard_uri(run, shard), further) for shard in shards])
    table = table.filter(pc.field("status") == "ok")
    task = plan.task
    columns = [[str(v) for v in table[name].to_pylist()] for name in by]
    embedded = {role: vectors(pc.struct_field(table["input_embeddings"], role)) for role in judged(task.roles)}
    result = vectors(table["embedding"])
    return Rows(
        row_id=np.array(table["row_id"].to_pylist(), dtype=np.str_),
        source_id=np.array(table["source_id"].to_pylist(), dtype=np.str_),
        unit=np.array([str(v) for v in table[drawn_by or "source_id"].to_pylist()], dtype=np.str_),
        groups=tuple(zip(*columns, strict=True)) if by else ((),) * table.num_rows,
        scores=np.stack([_numbers(table["scores"], name) for name in task.scores], axis=1),
        result=result,
        reference=embedded.pop(results.of(task).reference or "", np.full_like(result, np.nan)),
        conditions=embedded,
    )


def _table(uri: str, by: Sequence[str]) -> pa.Table:
    with storage.open_parquet(uri, read_ahead=False) as parquet:
        if missing := [name for name in by if name not in parquet.schema_arrow.names]:
            raise SettingsError(f"{uri} has no column {missing[0]} to group by; input.keep=[…] carries columns")
        return parquet.read(columns=[*dict.fromkeys([*COLUMNS, *by])])


def _numbers(scores: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    values = pc.struct_field(scores, name).cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def vectors(column: pa.ChunkedArray) -> Features:
    """A column of N fixed-size lists as [N, E] of its own type; rows of NaN where it is null."""
    whole = column.combine_chunks()
    pieces = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
    none = np.zeros((0, column.type.list_size), column.type.value_type.to_pandas_dtype())
    return np.concatenate([none, *(_vectors(piece) for piece in pieces)])


def _vectors(piece: pa.FixedSizeListArray) -> Features:
    size = piece.type.list_size
    flat = piece.values.slice(piece.offset * size, len(piece) * size)
    out = np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(piece), size).copy()
    out[~np.asarray(piece.is_valid())] = np.nan
    return out
