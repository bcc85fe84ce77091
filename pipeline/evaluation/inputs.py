"""What figures are read against: the inputs' own media, decoded and fitted to the results' size; stored results."""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, results, storage
from pipeline.kinds import KINDS
from pipeline.ledger import Plan
from pipeline.settings import SettingsError
from pipeline.stages import attempt
from pipeline.stages.load import Reader

BATCH_ROWS = 1024  # of a run, whose results are held at a time


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Values of inputs, where they have them."""

    values: Mapping[str, Mapping[str, Any]]  # role -> source id -> value
    columns: Mapping[str, dict[str, Any]]  # source id -> further columns of the input file


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to read."""

    sources: Collection[str]
    roles: Sequence[str]
    columns: Sequence[str] = ()  # further ones of the input file
    shards: Sequence[int] | None = None  # where the sources are; None: anywhere


def read(run: str, plan: Plan, size: int, wanted: Wanted) -> Inputs:
    """Wanted inputs of a run, decoded and fitted to results of a size; what cannot be decoded is missing here."""
    kinds, fitted = plan.task.roles, results.of(plan.task).fitted
    roles = {r: c for r in wanted.roles if (c := plan.identity["input"]["columns"].get(r))}
    named = {**roles, **{f"extra.{c}": c for c in wanted.columns}}
    found: dict[str, dict[str, Any]] = {role: {} for role in wanted.roles}
    extra: dict[str, dict[str, Any]] = {}
    readers: dict[int, Reader] = {}
    for planned in _planned(run, plan, wanted.shards):
        rows = [r for r in planned.to_pylist() if r["source_id"] in wanted.sources]
        places = {r["source_id"]: (r["file"], r["row"]) for r in rows if r["source_id"] not in extra}
        for source, (file, row) in places.items():
            if file not in readers:
                readers = {file: Reader(plan.files[file], named)}
            cells = readers[file].rows([row]).to_pylist()[0]
            extra[source] = {c: cells[f"extra.{c}"] for c in wanted.columns}
            for role in roles:
                value, _ = attempt("evaluate", role, functools.partial(KINDS[kinds[role]].decode, cells[role]))
                if value is not None:
                    found[role][source] = fitted(kinds[role], value, size)
    return Inputs(found, extra)


def _planned(run: str, plan: Plan, shards: Sequence[int] | None) -> Iterator[pa.Table]:
    if shards is None:
        return (rows for _, rows in ledger.planned(run, plan))
    return (ledger.shard_rows(run, plan, shard) for shard in shards)


def result_size(run: str, plan: Plan) -> int:
    """The size of the run's results, by the first of them. Raises SettingsError for a run without any."""
    kind = results.of(plan.task)
    for stored in ledger.data_objects(run):
        with storage.open_parquet(stored.uri) as parquet:
            table = parquet.read(columns=["status", *(f.name for f in kind.fields)])
        for row in table.filter(pc.field("status") == "ok").slice(0, 1).to_pylist():
            found = kind.stored(row)
            return 0 if found is None else len(found)
    raise SettingsError(f"run={run} has no result: all its rows failed")


def stored(run: str, plan: Plan, rows: Collection[str], shards: Sequence[int] | None = None) -> dict[str, Any]:
    """Columns of the stored results of some rows, by row id. Reads all results of these shards (None: of the run)."""
    wanted, columns = pa.array(sorted(rows), pa.string()), [f.name for f in results.of(plan.task).fields]
    found: dict[str, Any] = {}
    for shard in (ledger.done(run) if shards is None else shards) if rows else ():
        with storage.open_parquet(ledger.shard_uri(run, shard)) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=["row_id", "status", *columns]):
                own = batch.filter(pc.and_(pc.is_in(batch["row_id"], wanted), pc.equal(batch["status"], "ok")))
                found |= {row["row_id"]: row for row in own.to_pylist()}
    return found
