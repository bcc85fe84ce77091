"""Selected results of a run, with what they were made from, in a form that trainings read.

Parquet: one row per result with the columns id, source_id, cell, the roles of the task's inputs, its result in
place of the reference, scores and kept columns; jobs/train.py reads it as it is. WebDataset: tar files whose
members are <row_id>.<role>.<extension>, as its loaders group them.
"""

import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline import ledger, progress, schema, storage
from pipeline.evaluation.collect import finished
from pipeline.ledger import Plan
from pipeline.settings import Export, SettingsError
from pipeline.stages.load import Reader

Rows = Sequence[Mapping[str, Any]]
GROUP_ROWS = 64  # rows of a Parquet row group


def export(settings: Export) -> str:
    """Write the files and return their folder; files that are there already stay as they are."""
    if settings.format not in FORMATS:
        raise SettingsError(f"unknown format={settings.format}; known: {', '.join(FORMATS)}")
    if settings.rows_per_file < 1:
        raise SettingsError(f"rows_per_file must be at least 1, not {settings.rows_per_file}")
    plan, (suffix, write) = finished(settings.run), FORMATS[settings.format]
    selected = _selected(settings.run, plan)
    total = 0
    for number in itertools.count():
        rows = list(itertools.islice(selected, settings.rows_per_file))
        if not rows:
            break
        storage.put_new(storage.join(settings.output, f"part-{number:05d}.{suffix}"), write(rows))
        total += len(rows)
    progress.say(f"{total:,} of {plan.rows:,} rows were selected")
    return settings.output


def _selected(run: str, plan: Plan) -> Iterator[dict[str, Any]]:
    """Selected rows in the plan's order, joined with their inputs."""
    result, columns = plan.identity["task"]["result"], plan.identity["input"]["columns"]
    roles = {r: c for r in plan.identity["task"]["roles"] if r != result and (c := columns.get(r))}
    kept = plan.identity["input"]["keep"]
    readers: dict[int, Reader] = {}
    for shard, planned in ledger.planned(run, plan):
        with storage.open_parquet(ledger.shard_uri(run, shard)) as parquet:
            names = ["row_id", "source_id", "cell", "selected", result, "scores", *kept]
            made = {r["row_id"]: r for r in parquet.read(columns=names).to_pylist() if r["selected"]}
        for place in planned.to_pylist():
            if row := made.get(place["row_id"]):
                file = place["file"]
                reader = readers.get(file) or Reader(plan.files[file], roles)
                readers = {file: reader}
                given = reader.rows([place["row"]]).to_pylist()[0]
                own = {"id": row["row_id"], "source_id": row["source_id"], "cell": row["cell"]}
                yield {**own, **given, result: row[result], "scores": row["scores"], **{k: row[k] for k in kept}}


def _parquet(rows: Rows) -> bytes:
    table = pa.Table.from_pylist([dict(r) for r in rows])
    fields = [_image(f) for f in table.schema]
    made = table.cast(pa.schema(fields, metadata=schema.huggingface_metadata(fields)))
    return storage.to_parquet(made, GROUP_ROWS)


def _image(field: pa.Field) -> pa.Field:
    """Encoded pictures in the form that every reader knows, whatever form the input had them in."""
    is_struct = pa.types.is_struct(field.type) and "bytes" in field.type.names
    return field.with_type(schema.HF_IMAGE) if is_struct else field


def _webdataset(rows: Rows) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for row in rows:
            for name, data in _members(row).items():
                member = tarfile.TarInfo(f"{row['id']}.{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _members(row: Mapping[str, Any]) -> dict[str, bytes]:
    """Files of one sample: pictures as they are stored, texts as text, the rest as one JSON file."""
    found: dict[str, bytes] = {}
    rest: dict[str, Any] = {}
    for name, value in row.items():
        data = value["bytes"] if isinstance(value, dict) and "bytes" in value else value
        if isinstance(data, bytes):
            found[f"{name}.{Image.open(io.BytesIO(data)).format or 'bin'}".lower()] = data
        elif name == "text" and value is not None:
            found["txt"] = str(value).encode()
        else:
            rest[name] = value
    return {**found, "json": json.dumps(rest).encode()}


FORMATS: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "parquet": ("parquet", _parquet),
    "webdataset": ("tar", _webdataset),
}
