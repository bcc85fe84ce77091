"""Selected results of a run, with what they were made from, in a form that trainings read.

Parquet: one row per result with the columns id, source_id, cell, the roles of the task's inputs, its result in
place of the reference, scores and kept columns; jobs/train.py reads it as it is. WebDataset: tar files whose
members are <row_id>.<role>.<extension>, as its loaders group them; a motion is the .npy file of its poses. DANCES:
each motion as a file of its own, <row_id>.<format>, with its music and beats where the format has room for them.
Pictures: each as a file of its own as well, signed if there is a key (signing.py).
"""

import dataclasses
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from pipeline import kinds, ledger, media, pictures, progress, provenance, results, schema, storage
from pipeline.enrichment import text_role
from pipeline.evaluation.collect import finished
from pipeline.ledger import Plan
from pipeline.motion.formats import Dance, bvh, gif, gltf, npz, video
from pipeline.motion.skeleton import Poses
from pipeline.settings import Export, SettingsError, Task
from pipeline.signing import Signer
from pipeline.stages.load import Reader

GROUP_ROWS = 64  # rows of a Parquet row group
Write = Callable[[Mapping[str, Any]], bytes]  # a selected row -> its file


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of one file."""

    rows: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, str]  # column -> kind of media, of those that hold any
    fields: Sequence[pa.Field]  # columns of the result


def export(settings: Export) -> str:
    """Write the files and return their folder; files that are there already stay as they are."""
    known = [*FORMATS, *DANCES, *pictures.FORMATS]
    if settings.format not in known:
        raise SettingsError(f"unknown format={settings.format}; known: {', '.join(known)}")
    if (settings.c2pa.certificate or settings.c2pa.key) and settings.format not in pictures.FORMATS:
        raise SettingsError(f"c2pa signs files of pictures: format={' or format='.join(pictures.FORMATS)}")
    if settings.rows_per_file < 1:
        raise SettingsError(f"rows_per_file must be at least 1, not {settings.rows_per_file}")
    plan = finished(settings.run)
    total = _packed(settings, plan) if settings.format in FORMATS else _apart(settings, plan)
    progress.say(f"{total:,} of {plan.rows:,} rows were selected")
    return settings.output


def _packed(settings: Export, plan: Plan) -> int:
    """Write files of many rows; how many rows there are."""
    suffix, write = FORMATS[settings.format]
    selected, fields = _selected(settings.run, plan), results.of(plan.task).fields
    held = {**plan.task.roles, fields[0].name: results.of(plan.task).kind}
    total = 0
    for number in itertools.count():
        rows = list(itertools.islice(selected, settings.rows_per_file))
        if not rows:
            break
        storage.put_new(storage.join(settings.output, f"part-{number:05d}.{suffix}"), write(Rows(rows, held, fields)))
        total += len(rows)
    return total


def _apart(settings: Export, plan: Plan) -> int:
    """Write a file for each result; how many there are."""
    result = results.of(plan.task)
    wanted = "motion" if settings.format in DANCES else "image"
    if result.kind != wanted:
        known = ", ".join([*FORMATS, *(pictures.FORMATS if result.kind == "image" else DANCES)])
        raise SettingsError(
            f"format={settings.format} is for {wanted}s; results of {settings.run} are {result.kind}s: {known}"
        )
    write = _danced(settings, plan.task) if wanted == "motion" else _pictured(settings, plan.task)
    there = {stored.uri for stored in storage.list_objects(settings.output)}
    total = 0
    for row in _selected(settings.run, plan):
        uri = storage.join(settings.output, f"{row['id']}.{settings.format}")
        if uri not in there:
            storage.put_new(uri, write(row))
        total += 1
    return total


def _danced(settings: Export, task: Task) -> Write:
    """How the file of a motion is made."""
    if settings.format == "mp4" and not video.available():
        raise SettingsError("format=mp4 needs imageio-ffmpeg: pip install 'batch-diffusion[video]'")
    result = results.of(task)
    return lambda row: DANCES[settings.format](_dance(np.asarray(result.stored(row)), row, task))


def _pictured(settings: Export, task: Task) -> Write:
    """How the file of a picture is made, and signed."""
    column, encode = results.of(task).fields[0].name, pictures.FORMATS[settings.format]
    signing = settings.c2pa
    sign = Signer(signing, provenance.source_type(task)) if signing.certificate or signing.key else None

    def write(row: Mapping[str, Any]) -> bytes:
        data: bytes = row[column]["bytes"]
        own = {"row_id": row["id"], "source_id": row["source_id"], "cell": row["cell"]}
        return sign(encode(data), settings.format, provenance.read(data) or own) if sign else encode(data)

    return write


def _dance(poses: Poses, row: Mapping[str, Any], task: Task) -> Dance:
    """A motion with the first music and the first beats that its input has, as long as it is."""
    result = results.of(task)

    def first(kind: str) -> Any:
        values = (kinds.KINDS[kind].decode(row.get(role)) for role, own in task.roles.items() if own == kind)
        return next((result.fitted(kind, value, len(poses)) for value in values if value is not None), None)

    return Dance(poses, first("times"), first("audio"))


def _selected(run: str, plan: Plan) -> Iterator[dict[str, Any]]:
    """Selected rows in the plan's order, joined with their inputs."""
    result, columns = results.of(plan.task), plan.identity["input"]["columns"]
    roles = {r: c for r in plan.task.roles if r != result.reference and (c := columns.get(r))}
    own_columns = [field.name for field in result.fields]
    kept = plan.identity["input"]["keep"]
    texts = ("original", "enriched") if "enrich" in plan.identity else ()
    readers: dict[int, Reader] = {}
    for shard, planned in ledger.planned(run, plan):
        with storage.open_parquet(ledger.shard_uri(run, shard)) as parquet:
            names = ["row_id", "source_id", "cell", "selected", *own_columns, "scores", *texts, *kept]
            made = {r["row_id"]: r for r in parquet.read(columns=names).to_pylist() if r["selected"]}
        for place in planned.to_pylist():
            if row := made.get(place["row_id"]):
                file = place["file"]
                reader = readers.get(file) or Reader(plan.files[file], roles)
                readers = {file: reader}
                given = reader.rows([place["row"]]).to_pylist()[0]
                own = {"id": row["row_id"], "source_id": row["source_id"], "cell": row["cell"]}
                if texts:  # the row's pair is the text that it was made from
                    given |= {str(text_role(plan.task)): row["enriched"], "original": row["original"]}
                yield {**own, **given, **{k: _compact(row[k]) for k in (*own_columns, "scores", *kept)}}


def _compact(value: Any) -> Any:
    """A cell without an object of Python's for each of its numbers."""
    return np.array(value, np.float32) if isinstance(value, list) and value and isinstance(value[0], float) else value


def _parquet(rows: Rows) -> bytes:
    table = pa.Table.from_pylist([dict(r) for r in rows.rows])
    known = {f.name: f for f in rows.fields}
    fields = [known.get(f.name) or _encoded(f) for f in table.schema]
    sounds = [name for name, kind in rows.kinds.items() if kind == "audio"]
    made = table.cast(pa.schema(fields, metadata=schema.huggingface_metadata(fields, sounds)))
    return storage.to_parquet(made, GROUP_ROWS)


def _encoded(field: pa.Field) -> pa.Field:
    """Encoded media in the form that every reader knows, whatever form the input had them in."""
    is_struct = pa.types.is_struct(field.type) and "bytes" in field.type.names
    return field.with_type(schema.HF_IMAGE) if is_struct else field


def _webdataset(rows: Rows) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for row in rows.rows:
            for name, data in _members(row, rows.kinds).items():
                member = tarfile.TarInfo(f"{row['id']}.{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _members(row: Mapping[str, Any], kind_of: Mapping[str, str]) -> dict[str, bytes]:
    """Files of one sample: media as they are stored, texts as text, motions as arrays, the rest as one JSON file."""
    found: dict[str, bytes] = {}
    rest: dict[str, Any] = {}
    for name, value in row.items():
        data = value["bytes"] if isinstance(value, dict) and "bytes" in value else value
        kind = kind_of.get(name, "")
        if kind == "motion" and value is not None:
            found[f"{name}.npy"] = _array(kinds.KINDS[kind].decode(value))
        elif isinstance(data, bytes):
            found[f"{name}.{_extension(kind, data)}"] = data
        elif name == "text" and value is not None:
            found["txt"] = str(value).encode()
        else:
            rest[name] = value
    return {**found, "json": json.dumps(rest).encode()}


def _array(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()


def _extension(kind: str, data: bytes) -> str:
    """By the bytes themselves: kept columns may hold media of any kind."""
    if data.startswith((b"RIFF", b"RF64")) and data[8:12] == b"WAVE":
        return "wav"
    if found := SOUNDS.get(data[:4]):
        return found
    try:
        return "mp3" if kind == "audio" else str(Image.open(io.BytesIO(data), formats=media.FORMATS).format).lower()
    except UnidentifiedImageError:
        return "bin"


SOUNDS = {b"fLaC": "flac", b"OggS": "ogg"}
FORMATS: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "parquet": ("parquet", _parquet),
    "webdataset": ("tar", _webdataset),
}
DANCES: dict[str, Callable[[Dance], bytes]] = {
    "npz": npz.encode,
    "bvh": bvh.encode,
    "glb": gltf.encode,
    "gif": gif.encode,
    "mp4": video.encode,
}
