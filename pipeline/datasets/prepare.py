"""A data set as one Parquet file: small row groups, uncompressed media, readable as Hugging Face images."""

import collections
import sys

import pyarrow as pa

from pipeline import schema, storage
from pipeline.settings import Prepare, SettingsError, resolve


def prepare(settings: Prepare) -> str:
    """Write the data set; returns its path. What the source's table says of itself (metadata) is kept."""
    if storage.stat_or_none(settings.output):
        raise SettingsError(f"output={settings.output} exists already; name another or delete it")
    table: pa.Table = resolve(settings.source.factory)(settings)
    inferred = {name.encode(): value for name, value in schema.huggingface_metadata(list(table.schema)).items()}
    table = table.replace_schema_metadata(inferred | (table.schema.metadata or {}))
    storage.put_new(settings.output, storage.to_parquet(table, settings.row_group_rows))
    splits = table["split"].to_pylist() if "split" in table.column_names else ["all"] * len(table)
    for split, rows in sorted(collections.Counter(splits).items()):
        print(f"{split}: {rows} rows", file=sys.stderr)
    return settings.output
