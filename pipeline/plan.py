"""The plan: inputs x cells x samples -> planned rows, each with an id, a seed and a shard, fixed before any work.

The order is the source's. Shards of about `shard_rows` rows, and of inputs of at most `shard_bytes`, are cut at input
boundaries, so that all rows of an input share a shard and its encodings.
"""

import dataclasses
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.seeds import row_id, row_seed
from pipeline.settings import Generate, SettingsError
from pipeline.sources import Source

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
    keys = (
        "input",
        "where",
        "limit",
        "num_samples",
        "shard_rows",
        "shard_bytes",
        "sweep",
        "drop",
        "new_since",
        "select",
    )
    return {**recipe(settings, weights), **{k: chosen[k] for k in keys}, "weights": chosen["guidance"]["weights"]}


def planned(settings: Generate, fingerprint: str, inputs: Iterator[Source]) -> Iterator[list[dict[str, Any]]]:
    """Shards of planned rows (schema.PLAN), in order."""
    grid = [(cell, k) for cell in cells(settings) for k in range(settings.num_samples)]
    taken = itertools.islice(inputs, settings.limit)
    most = max(1, settings.shard_rows // len(grid))
    for shard, chunk in enumerate(_chunks(taken, most, settings.shard_bytes)):
        yield [
            {
                "shard": shard,
                "row_id": row_id(fingerprint, source.id, cell.key, k),
                "source_id": source.id,
                "cell": cell.name,
                "sample_index": k,
                "seed": row_seed(settings.seed, source.id, k),
                "file": source.file,
                "row": source.row,
            }
            for source in chunk
            for cell, k in grid
        ]


def _chunks(inputs: Iterator[Source], most: int, most_bytes: int) -> Iterator[list[Source]]:
    """Consecutive inputs, at most so many and of so many bytes; one that is larger stands alone."""
    chunk: list[Source] = []
    size = 0
    for source in inputs:
        if chunk and (len(chunk) == most or size + source.size > most_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(source)
        size += source.size
    if chunk:
        yield chunk


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
