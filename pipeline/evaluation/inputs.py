"""What figures are read against: the inputs' own media, decoded at the results' size."""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, media, storage
from pipeline.ledger import Plan
from pipeline.media import Bounds, Pixels
from pipeline.settings import SettingsError
from pipeline.stages import attempt
from pipeline.stages.decode import DECODERS
from pipeline.stages.load import Reader

BATCH_ROWS = 1024  # of a run, whose pictures are held at a time


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Sketch and reference of inputs, where they have them."""

    sketch: Mapping[str, Pixels]  # source id -> [S, S]
    image: Mapping[str, Pixels]  # source id -> [S, S, 3]
    columns: Mapping[str, dict[str, Any]]  # source id -> further columns of the input file


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to read."""

    sources: Collection[str]
    columns: Sequence[str] = ()  # further ones of the input file
    shards: Sequence[int] | None = None  # where the sources are; None: anywhere


def read(run: str, plan: Plan, size: int, wanted: Wanted) -> Inputs:
    """Wanted inputs of a run, decoded and fitted into `size` pixels; what cannot be decoded is missing here."""
    roles = {r: c for r in ("sketch", "image") if (c := plan.identity["input"]["columns"].get(r))}
    named = {**roles, **{f"extra.{c}": c for c in wanted.columns}}
    found: dict[str, dict[str, Any]] = {"sketch": {}, "image": {}}
    extra: dict[str, dict[str, Any]] = {}
    readers: dict[int, Reader] = {}
    for planned in _planned(run, plan, wanted.shards):
        rows = [r for r in planned.to_pylist() if r["source_id"] in wanted.sources]
        places = {r["source_id"]: (r["file"], r["row"]) for r in rows if r["source_id"] not in extra}
        for source, (file, row) in places.items():
            if file not in readers:
                readers = {file: Reader(plan.files[file], named)}
            cells = readers[file].rows([row]).to_pylist()[0]
            extra[source] = {c: cells[f"extra.{c}"] for c in wanted.columns}
            for role in roles:
                pixels, _ = attempt("evaluate", role, functools.partial(DECODERS[role], cells[role]))
                if pixels is not None:
                    found[role][source] = media.fit(pixels, size)
    return Inputs(found["sketch"], found["image"], extra)


def _planned(run: str, plan: Plan, shards: Sequence[int] | None) -> Iterator[pa.Table]:
    if shards is None:
        return (rows for _, rows in ledger.planned(run, plan))
    return (ledger.shard_rows(run, plan, shard) for shard in shards)


def result_side(run: str) -> int:
    """Pixels along a side of the run's results. Raises SettingsError for a run without any."""
    for stored in ledger.data_objects(run):
        with storage.open_parquet(stored.uri) as parquet:
            column = parquet.read(columns=["image"])["image"].drop_null()
        if len(column):
            return int(picture(column[0]["bytes"].as_py()).shape[0])
    raise SettingsError(f"run={run} has no result: all its rows failed")


def results(run: str, rows: Collection[str], shards: Sequence[int] | None = None) -> dict[str, bytes]:
    """Stored results of some rows, encoded, by row id. Reads all pictures of these shards (None: of the run)."""
    wanted = pa.array(sorted(rows), pa.string())
    found: dict[str, bytes] = {}
    for shard in (ledger.done(run) if shards is None else shards) if rows else ():
        with storage.open_parquet(ledger.shard_uri(run, shard)) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=["row_id", "image"]):
                own = batch.filter(pc.is_in(batch["row_id"], wanted))
                pairs = zip(own["row_id"].to_pylist(), own["image"].to_pylist(), strict=True)
                found |= {row: image["bytes"] for row, image in pairs if image}
    return found


def picture(data: bytes) -> Pixels:
    """A stored result, decoded."""
    return media.decode_image(data, Bounds())
