"""The plan: inputs x cells x samples -> planned rows, each with an id, a seed and a shard, fixed before any work.

The order is the source's. Shards of about `shard_rows` rows, and of inputs of at most `shard_bytes`, are cut at input
boundaries, so that all rows of an input share a shard and its encodings.
"""

import dataclasses
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.cells import cells, models, of_model, variants
from pipeline.seeds import digest, row_id, row_seed
from pipeline.settings import Generate
from pipeline.sources import Source

PART_ROWS = 100_000  # rows after which a part of the plan is written and forgotten
MOST_PADDING = 0.25  # of the places in a shard's batches
Inputs = Callable[[], Iterator[Source]]  # read anew for each model


Weights = Mapping[str, str]  # content hashes of what one model's rows are made with: model, judge, …


def recipe(settings: Generate, weights: Weights) -> dict[str, Any]:
    """All that decides the bytes of one model's results, but for what their cells say."""
    chosen = dataclasses.asdict(settings)
    # Paths of models do not count, their content does.
    kept = {k: chosen[k] for k in ("task", "model", "guidance", "seed", "batch_size")}
    kept["model"] = {"dtype": settings.model.dtype, **weights}
    kept["guidance"] = {"scheme": settings.guidance.scheme, "interval": settings.guidance.interval}
    if settings.enrich.model is not None:
        kept["enrich"] = settings.enrich.recipe
    if settings.safety.classifier is not None:
        kept["safety"] = settings.safety.recipe
    if settings.mark.metadata:
        kept["mark"] = {"metadata": True}
    kept["columns"] = {r: settings.input.columns.get(r) for r in settings.task.roles}
    return kept


def fingerprints(settings: Generate, weights: Sequence[Weights]) -> tuple[str, ...]:
    """Names of the recipes of a run, one for each of its models."""
    pairs = zip(variants(settings), weights, strict=True)
    return tuple(digest(json.dumps(recipe(s, w), sort_keys=True)).hex() for s, w in pairs)


def identity(settings: Generate, weights: Sequence[Weights]) -> dict[str, Any]:
    """What two runs into one output must agree on: the recipe, and which rows are taken from where."""
    chosen = dataclasses.asdict(settings)
    keys = (
        "scheduler",
        "steps",
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
    whole = {**recipe(settings, weights[0]), **{k: chosen[k] for k in keys}, "weights": chosen["guidance"]["weights"]}
    whole["model"] = {**whole["model"], "model": [w["model"] for w in weights]}
    whole["sweep"] = {key: values for key, values in chosen["sweep"].items() if key != "model"}
    return whole


def planned(settings: Generate, names: Sequence[str], inputs: Inputs) -> Iterator[list[dict[str, Any]]]:
    """Shards of planned rows (schema.PLAN), in order; `names` are the fingerprints of the models.

    Every model has the same number of them, since it is asked for the same inputs.
    """
    found = cells(settings)
    shards = itertools.count()
    for model, fingerprint in zip(models(settings), names, strict=True):
        own = of_model(found, model)
        grid = [(cell.name, cell.key, k) for cell in own for k in range(settings.num_samples)]
        loops = {loop: rows * settings.num_samples for loop, rows in Counter(cell.loop for cell in own).items()}
        most = inputs_per_shard(settings, loops)
        for chunk in _chunks(itertools.islice(inputs(), settings.limit), most, settings.shard_bytes):
            shard = next(shards)
            yield [
                {
                    "shard": shard,
                    "row_id": row_id(fingerprint, source.id, key, k),
                    "source_id": source.id,
                    "cell": name,
                    "sample_index": k,
                    "seed": row_seed(settings.seed, source.id, k),
                    "file": source.file,
                    "row": source.row,
                }
                for source in chunk
                for name, key, k in grid
            ]


def inputs_per_shard(settings: Generate, loops: Mapping[Any, int]) -> int:
    """So many that a shard has about `shard_rows` rows, or more if its batches were mostly padding otherwise.

    `loops` says how many rows of one input go through each sampling loop; batches hold rows of one loop.
    """
    size = settings.batch_size
    least = max(1, settings.shard_rows // sum(loops.values()))

    def padding(count: int) -> float:
        places = sum(-(-count * rows // size) * size for rows in loops.values())
        return 1 - count * sum(loops.values()) / places

    enough = (count for count in range(least, least + size) if padding(count) <= MOST_PADDING)
    return next(enough, least + size) if len(loops) > 1 else least


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
