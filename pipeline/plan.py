"""The plan: inputs x cells x samples -> planned rows, each with an id, a seed and a shard, fixed before any work.

Planning reads the id column and the columns that `where` names, never the media. The order is the source's;
shards of about `shard_rows` rows are cut at input boundaries, so that all rows of an input share a shard and
its encodings.
"""

import dataclasses
import glob
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import schema, storage, where
from pipeline.seeds import digest, row_id, row_seed
from pipeline.settings import Generate, Input, SettingsError
from pipeline.storage import Stored

PART_ROWS = 100_000  # rows after which a part of the plan is written and forgotten


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting of a sweep: what differs between rows that share an input and its noise."""

    name: str  # "" for the only cell of a run without a sweep
    guidance: Mapping[str, float]
    drop: tuple[str, ...]

    @property
    def key(self) -> str:
        """What enters the row's id: equal for equal settings, whatever the sweep calls them."""
        return json.dumps({"guidance": dict(self.guidance), "drop": self.drop}, sort_keys=True)


def cells(settings: Generate) -> tuple[Cell, ...]:
    """The product of the sweep's values over the settings. Raises SettingsError for keys that cannot be swept."""
    keys = tuple(settings.sweep)
    found = []
    for values in itertools.product(*settings.sweep.values()):
        weights, drop = dict(settings.guidance.weights), settings.drop
        for key, value in zip(keys, values, strict=True):
            group, _, name = key.partition(".")
            if group == "guidance" and name in weights:
                weights[name] = _weight(key, value)
            elif key == "drop":
                drop = _dropped(value)
            else:
                known = [f"guidance.{w}" for w in weights]
                raise SettingsError(f"sweep.{key} cannot be swept; known: {', '.join(known)}, drop")
        name = " ".join(f"{k.removeprefix('guidance.')}={_label(v)}" for k, v in zip(keys, values, strict=True))
        found.append(Cell(name, weights, drop))
    for what in ("key", "name"):
        if len({getattr(cell, what) for cell in found}) < len(found):
            raise SettingsError("two settings of the sweep are the same; give each value once")
    return tuple(found)


def _weight(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"sweep.{key}: {value!r} is not a number")
    return float(value)


def _dropped(value: Any) -> tuple[str, ...]:
    """sweep.drop=[none,text,[text,sketch]]: each value is a modality, a list of them, or none."""
    if value in (None, "none"):
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (str(value),)


def _label(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def recipe(settings: Generate, weights: Mapping[str, str]) -> dict[str, Any]:
    """All that decides the bytes of a result: settings, and the content hashes of the model folders."""
    chosen = dataclasses.asdict(settings)
    keys = ("task", "model", "guidance", "seed", "scheduler", "steps", "batch_size")
    # Paths of models do not count, their content does; cells carry the guidance weights of a row.
    kept = {k: chosen[k] for k in keys}
    kept["model"] = {"dtype": settings.model.dtype, **weights}
    kept["guidance"] = {"scheme": settings.guidance.scheme, "interval": settings.guidance.interval}
    kept["columns"] = {r: settings.input.columns.get(r) for r in settings.task.roles}
    return kept


def identity(settings: Generate, weights: Mapping[str, str]) -> dict[str, Any]:
    """What two runs into one output must agree on: the recipe, and which rows are taken from where."""
    chosen = dataclasses.asdict(settings)
    keys = ("input", "where", "limit", "num_samples", "shard_rows", "sweep", "drop", "new_since", "select")
    return {**recipe(settings, weights), **{k: chosen[k] for k in keys}, "weights": chosen["guidance"]["weights"]}


def input_files(source: Input) -> list[Stored]:
    """The input's Parquet files. Raises SettingsError where there are none."""
    files = storage.match_objects(source.path, ".parquet")
    if not files:
        raise SettingsError(f"input.path={source.path}: there is no Parquet file; name a file, a folder or a glob")
    return files


def check_columns(source: Input, uri: str, there: pa.Schema, condition: str | None) -> dict[str, pa.DataType]:
    """Type of each column that is used. Raises SettingsError naming the first configured column that a file lacks."""
    wanted = [(f"input.columns.{role}", name) for role, name in source.columns.items() if name]
    asked = where.parse(condition)[1] if condition else ()
    columns = [*wanted, *(("input.keep", n) for n in source.keep), *(("where", n) for n in asked)]
    for key, name in columns:
        if name not in there.names:
            hint = f"; name yours with {key}=…, or say {key}=null" if key.startswith("input.columns.") else ""
            raise SettingsError(f"{uri} has no column {name!r} ({key}); it has {', '.join(there.names)}{hint}")
    return {name: there.field(name).type for _, name in columns}


def _check_types(first: Mapping[str, pa.DataType], here: Mapping[str, pa.DataType], uri: str) -> None:
    for name, kind in here.items():
        if kind != first[name]:
            raise SettingsError(f"{uri} has {kind} in column {name!r}, but the first input file has {first[name]}")


def source_rows(source: Input, files: Sequence[Stored], condition: str | None) -> Iterator[tuple[int, int, str]]:
    """(file, row, source id) of every input that matches, in source order. Ids must be there and be unique."""
    expression, needed = where.parse(condition) if condition else (None, ())
    id_column = source.columns["id"]
    seen: set[bytes] = set()
    types: dict[str, pa.DataType] = {}
    for number, file in enumerate(files):
        with storage.open_parquet(file.uri) as parquet:
            here = check_columns(source, file.uri, parquet.schema_arrow, condition)
            types = types or here
            _check_types(types, here, file.uri)
            names = [*dict.fromkeys([*([id_column] if id_column else []), *needed])]
            table = parquet.read(columns=names)
            rows = pa.array(range(parquet.metadata.num_rows), pa.int64())
        table = table.append_column("__row", rows)
        if expression is not None:
            table = _filter(table, expression, condition, file.uri)
        ids = _ids(table, id_column, file.uri, _name(source.path, file.uri))
        for row, name in zip(table["__row"].to_pylist(), ids, strict=True):
            key = digest(name)
            if key in seen:
                raise SettingsError(f"ids must be unique, but {name!r} stands twice (again in {file.uri}, row {row})")
            seen.add(key)
            yield number, row, name


def _filter(table: pa.Table, expression: pc.Expression, condition: str | None, uri: str) -> pa.Table:
    try:
        return table.filter(expression)
    except pa.ArrowException as error:
        reason = " ".join(str(error).split("\n", maxsplit=1)[0].split())
        raise SettingsError(f"where={condition!r} does not fit the columns of {uri}: {reason}") from error


def _name(path: str, uri: str) -> str:
    """A file's name below the folder, or before the first wildcard, of input.path: enough to tell files apart."""
    folder, found = (text.rpartition("://")[2] for text in (path, uri))
    if glob.has_magic(folder):
        folder = re.split(r"[*?[]", folder, maxsplit=1)[0].rpartition("/")[0]
    return found.removeprefix(folder).lstrip("/") or found.rsplit("/", 1)[-1]


def _ids(table: pa.Table, column: str | None, uri: str, name: str) -> list[str]:
    """Ids as text; without an id column, the file's name and the row's number."""
    if column is None:
        return [f"{name}#{row}" for row in table["__row"].to_pylist()]
    values = table[column]
    if pa.types.is_floating(values.type):
        raise SettingsError(f"column {column!r} of {uri} holds floating-point numbers, which cannot be ids")
    if values.null_count:
        row = table["__row"][pc.index(values.is_null(), True).as_py()].as_py()
        hint = f'give it one, or leave it out by where="{column} is not None"'
        raise SettingsError(f"{uri} has a null id in row {row} (column {column!r}); {hint}")
    try:
        return [str(v) for v in values.to_pylist()]
    except UnicodeDecodeError as error:
        raise SettingsError(f"{uri} has an id that is not UTF-8 (column {column!r}): {error}") from error


def planned(
    settings: Generate, fingerprint: str, inputs: Iterator[tuple[int, int, str]]
) -> Iterator[list[dict[str, Any]]]:
    """Shards of planned rows (schema.PLAN), in order."""
    grid = [(cell, k) for cell in cells(settings) for k in range(settings.num_samples)]
    per_shard = max(1, settings.shard_rows // len(grid))
    taken = itertools.islice(inputs, settings.limit)
    for shard in itertools.count():
        chunk = list(itertools.islice(taken, per_shard))
        if not chunk:
            return
        yield [
            {
                "shard": shard,
                "row_id": row_id(fingerprint, source_id, cell.key, k),
                "source_id": source_id,
                "cell": cell.name,
                "sample_index": k,
                "seed": row_seed(settings.seed, source_id, k),
                "file": file,
                "row": row,
            }
            for file, row, source_id in chunk
            for cell, k in grid
        ]


def parts(shards: Iterator[list[dict[str, Any]]]) -> Iterator[tuple[bytes, int, int]]:
    """(Parquet bytes, shards, rows) of consecutive parts of the plan, one row group per shard."""
    group: list[pa.Table] = []
    for rows in shards:
        group.append(pa.Table.from_pylist(rows, schema.PLAN))
        if sum(t.num_rows for t in group) >= PART_ROWS:
            yield _part(group)
            group = []
    if group:
        yield _part(group)


def _part(group: Sequence[pa.Table]) -> tuple[bytes, int, int]:
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema.PLAN) as writer:
        for table in group:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    return out.getvalue(), len(group), sum(t.num_rows for t in group)
