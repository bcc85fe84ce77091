"""The inputs of a run: which Parquet files there are, and which of their rows match, by id.

Reads the id column and the columns that `where` names, and the statistics of row groups; never the media.
"""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import storage, where
from pipeline.seeds import digest
from pipeline.settings import Input, SettingsError
from pipeline.storage import Stored


class Source(NamedTuple):
    """An input: the number of its file, its row there, its id, and the mean bytes of a row of its row group."""

    file: int
    row: int
    id: str
    size: int


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


def source_rows(source: Input, files: Sequence[Stored], condition: str | None) -> Iterator[Source]:
    """Every input that matches, in source order. Ids must be there and be unique."""
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
            rows, sizes = range(parquet.metadata.num_rows), _row_bytes(parquet.metadata, set(here))
        table = table.append_column("__row", pa.array(rows, pa.int64())).append_column("__bytes", pa.array(sizes))
        if expression is not None:
            table = _filter(table, expression, condition, file.uri)
        ids = _ids(table, id_column, file.uri, _name(source.path, file.uri))
        for row, name, size in zip(table["__row"].to_pylist(), ids, table["__bytes"].to_pylist(), strict=True):
            key = digest(name)
            if key in seen:
                raise SettingsError(f"ids must be unique, but {name!r} stands twice (again in {file.uri}, row {row})")
            seen.add(key)
            yield Source(number, row, name, size)


def _row_bytes(metadata: pq.FileMetaData, columns: set[str]) -> NDArray[np.int64]:
    """Mean bytes that a row has in these columns, by row: as its row group's statistics say, no media are read."""
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    leaves = [[g.column(c) for c in range(g.num_columns)] for g in groups]
    used = [sum(x.total_uncompressed_size for x in of if x.path_in_schema.split(".")[0] in columns) for of in leaves]
    means = [size // max(1, group.num_rows) for size, group in zip(used, groups, strict=True)]
    return np.repeat(np.array(means, np.int64), [group.num_rows for group in groups])


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
