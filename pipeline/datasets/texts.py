"""Texts for rows that have none, and two columns that say so: `text_source`, where a row's text comes from, and
`confidence`, how sure that is (null: of a row's own text, and where nobody said)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import media, progress, storage
from pipeline.settings import SettingsError

GIVEN = "given"  # the text_source of a row's own text; null where it has none
BOUNDS = media.Bounds()


@dataclasses.dataclass(frozen=True)
class Found:
    """A text for a row."""

    text: str
    confidence: float | None


def read(path: str, columns: Mapping[str, str]) -> pa.Table:
    """All rows of a Parquet file, or of those of a folder or glob; a file may lack columns that another has. Raises
    SettingsError where all lack one of `columns`, which are their names by option of the source."""
    files = storage.match_objects(path, ".parquet")
    if not files:
        raise SettingsError(f"input.path={path}: there is no Parquet file")
    tables = []
    for stored in files:
        with storage.open_parquet(stored.uri) as file:
            tables.append(file.read())
    try:
        table = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise SettingsError(f"input.path={path}: its files do not go together: {error}") from None
    for option, name in columns.items():
        if name not in table.column_names:
            known = ", ".join(table.column_names)
            raise SettingsError(f"{path} has no column {name!r} (source.options.{option}); it has {known}")
    return table


def told(table: pa.Table, column: str) -> list[str]:
    """Each row's text, "" where it has none that can be read."""
    return [_text(value) for value in table[column].to_pylist()]


def _text(value: Any) -> str:
    try:
        return media.field_text(value, BOUNDS) or ""
    except media.MediaError:
        return ""


def filled(table: pa.Table, column: str, found: Mapping[int, Found], source: str) -> pa.Table:
    """The table with the texts that were found, by numbers of rows. What an earlier filling said stays."""
    own, rows = told(table, column), range(len(table))
    kept = [value if isinstance(value, str) else None for value in table[column].to_pylist()]
    sources = _before(table, "text_source", [GIVEN if text else None for text in own])
    sure = _before(table, "confidence", [None] * len(table))
    columns = {
        column: pa.array([found[i].text if i in found else kept[i] for i in rows], pa.string()),
        "text_source": pa.array([source if i in found else sources[i] for i in rows], pa.string()),
        "confidence": pa.array([found[i].confidence if i in found else sure[i] for i in rows], pa.float32()),
    }
    for name, values in columns.items():
        known = table.column_names
        at = known.index(name) if name in known else None
        table = table.append_column(name, values) if at is None else table.set_column(at, name, values)
    progress.say(f"{len(found):,} of {own.count(''):,} rows without a text got one")
    return table


def _before(table: pa.Table, name: str, fresh: list[Any]) -> list[Any]:
    """A column that is there, else a fresh one."""
    found: list[Any] = table[name].to_pylist() if name in table.column_names else fresh
    return found
