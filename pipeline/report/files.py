"""Drawings as SVG and PNG, tables as CSV and Parquet, pictures as they are: what stands beside a page."""

from collections.abc import Sequence

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
            storage.put(storage.join(folder, "tables", f"{name}.csv"), storage.to_csv(table))
            storage.put(storage.join(folder, "tables", f"{name}.parquet"), storage.to_parquet(table))
    for path, data in album.files.items():
        storage.put(storage.join(folder, path), data)
