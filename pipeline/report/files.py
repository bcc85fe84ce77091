"""Drawings as SVG and PNG, tables as CSV and Parquet, pictures as they are: what stands beside a page."""

import io
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv

from pipeline import storage
from pipeline.report.album import Album
from pipeline.report.section import Section


def write(folder: str, sections: Sequence[Section], album: Album) -> None:
    """Everything of these sections below `folder`."""
    for section in sections:
        for name, drawing in section.drawings.items():
            storage.put(storage.join(folder, "figures", f"{name}.svg"), drawing.svg.encode())
            storage.put(storage.join(folder, "figures", f"{name}.png"), drawing.png)
        for name, table in section.tables.items():
            storage.put(storage.join(folder, "tables", f"{name}.csv"), to_csv(table))
            storage.put(storage.join(folder, "tables", f"{name}.parquet"), storage.to_parquet(table))
    for path, data in album.files.items():
        storage.put(storage.join(folder, path), data)


def to_csv(table: pa.Table) -> bytes:
    """The table as CSV with a line of names; no column may be nested."""
    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()
