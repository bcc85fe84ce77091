"""A data set as one Parquet file: small row groups, uncompressed media, readable as Hugging Face images."""

import collections
import sys

import pyarrow as pa

from pipeline import schema, storage
from pipeline.settings import Prepare, SettingsError, resolve

# Imported when asked for: each needs libraries of its own.
SOURCES = {"openmoji": "pipeline.datasets.openmoji:from_package", "sample": "pipeline.datasets.sample:from_file"}


def prepare(settings: Prepare) -> str:
    """Write the data set; returns its path."""
    if storage.stat_or_none(settings.output):
        raise SettingsError(f"output={settings.output} exists already; name another or delete it")
    if settings.source not in SOURCES and ":" not in settings.source:
        raise SettingsError(f"unknown source={settings.source}; known: {', '.join(SOURCES)}, or module:attribute")
    table: pa.Table = resolve(SOURCES.get(settings.source, settings.source))(settings)
    table = table.replace_schema_metadata(schema.huggingface_metadata(list(table.schema)))
    storage.put_new(settings.output, storage.to_parquet(table, settings.row_group_rows))
    splits = table["split"].to_pylist() if "split" in table.column_names else ["all"] * len(table)
    for split, rows in sorted(collections.Counter(splits).items()):
        print(f"{split}: {rows} rows", file=sys.stderr)
    return settings.output
