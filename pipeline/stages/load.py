"""Load: the number of a shard -> a block with one row per input, media still encoded.

Row groups are read once as long as shards come in order: the reader keeps its place in the file, however the
file was cut into row groups, and its footer. A changed input is a fault of the run, not of a row.
"""

import bisect
import itertools
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import ledger, schema, storage
from pipeline.ledger import Plan
from pipeline.patience import StorageError, explained
from pipeline.stages import Job
from pipeline.storage import Stored

BATCH_ROWS, BATCH_BYTES = 256, 64_000_000  # decoded from Parquet at a time, at most

PLANNED = pa.list_(pa.struct([schema.PLAN.field(n) for n in ("row_id", "cell", "sample_index", "seed")]))


class Load:
    """Callable on a block [{"shard": n}]; see the module."""

    def __init__(self, job: Job) -> None:
        self.settings = job.settings
        self.plan = _plan(job.settings.output)
        self.readers: dict[int, Reader] = {}

    def __call__(self, block: pa.Table) -> pa.Table:
        """shard, source_id, planned (nested), error, the input's columns by role, kept columns."""
        shard = block["shard"][0].as_py()
        rows = ledger.shard_rows(self.settings.output, self.plan, shard).combine_chunks()
        lengths = [len(list(group)) for _, group in itertools.groupby(rows["source_id"].to_pylist())]
        starts = [0, *itertools.accumulate(lengths)]
        inputs = rows.take(pa.array(starts[:-1], pa.int32()))  # the first planned row of each
        media = self._media([*zip(inputs["file"].to_pylist(), inputs["row"].to_pylist(), strict=True)])
        fields = [*PLANNED.value_type]
        planned = pa.StructArray.from_arrays([rows[f.name].chunk(0) for f in fields], fields=fields)
        own = {
            "shard": pa.array([shard] * len(inputs), pa.int32()),
            "source_id": inputs["source_id"],
            "planned": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), planned, PLANNED),
            "error": pa.nulls(len(inputs), schema.ERROR),
        }
        return pa.table({**own, **{name: media[name] for name in media.column_names}})

    def _media(self, places: list[tuple[int, int]]) -> pa.Table:
        """Rows of the input at (file, row), in that order: columns by role, then kept ones as `keep.<name>`."""
        tables = []
        for file, group in itertools.groupby(places, lambda place: place[0]):
            with explained("read", self.plan.files[file].uri):
                reader = self.readers.pop(file, None) or Reader(self.plan.files[file], self._columns())
                tables.append(reader.rows([row for _, row in group]))
            self.readers = {file: reader}  # kept only if all went well
        return pa.concat_tables(tables, promote_options="permissive")

    def _columns(self) -> dict[str, str]:
        """Name in the block -> name in the file."""
        source = self.settings.input
        roles = {role: name for role in self.settings.task.roles if (name := source.columns.get(role))}
        return {**roles, **{f"keep.{name}": name for name in source.keep}}


def _plan(output: str) -> Plan:
    plan = ledger.load(output)
    if plan is None:
        raise StorageError(f"{ledger.plan_uri(output)} is gone")
    return plan


class Reader:
    """Rows of one Parquet file by number, read forwards; it starts again only when asked to go back."""

    def __init__(self, file: Stored, columns: Mapping[str, str]) -> None:
        now = storage.stat(file.uri)
        if now != file:
            raise StorageError(f"{file.uri} has changed since it was planned; plan it anew into another output=")
        fs, path = storage.filesystem(file.uri)
        self.parquet = pq.ParquetFile(fs.open(path, "rb"))
        self.columns = columns  # name in what `rows` gives -> name in the file
        groups = range(self.parquet.num_row_groups)
        self.starts = [0, *itertools.accumulate(self.parquet.metadata.row_group(g).num_rows for g in groups)]
        self.group = -1
        self.batches: Iterator[pa.RecordBatch] = iter(())
        self.first, self.held = 0, pa.table({})  # the rows that are decoded, and the number of the first of them
        self.groups_read = 0  # how often a row group was opened

    def rows(self, numbers: list[int]) -> pa.Table:
        """Rows by ascending number, with the columns that were asked for under the names given to them."""
        taken, done = [], 0
        while done < len(numbers):
            self._seek(numbers[done])
            here = list(itertools.takewhile(lambda n: n < self.first + self.held.num_rows, numbers[done:]))
            taken.append(self.held.take([n - self.first for n in here]))
            done += len(here)
        table = pa.concat_tables(taken)
        return pa.table({name: table[column] for name, column in self.columns.items()})

    def _seek(self, number: int) -> None:
        """Hold the decoded rows that contain `number`."""
        group = bisect.bisect_right(self.starts, number) - 1
        if group != self.group or number < self.first:
            self.group, self.groups_read = group, self.groups_read + 1
            columns = [*dict.fromkeys(self.columns.values())]
            rows = batch_rows(self.parquet.metadata.row_group(group))
            self.batches = self.parquet.iter_batches(rows, row_groups=[group], columns=columns)
            self.first, self.held = self.starts[group], pa.table({})
        while number >= self.first + self.held.num_rows:
            self.first += self.held.num_rows
            self.held = pa.Table.from_batches([next(self.batches)])


def batch_rows(group: pq.RowGroupMetaData) -> int:
    """How many of a row group's rows are decoded at a time, so that they take about BATCH_BYTES at most."""
    mean = group.total_byte_size // max(1, group.num_rows)
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, mean)))
