"""Captions of a finished run of task=caption for the rows of its input that have no text.

A row's caption is the one that the run selected; of several, the one that its judge finds nearest to the picture, and
that similarity is its confidence. Captions below `confidence` are left out.

Options: `run`, the run's output; `confidence`, the least similarity, null for all; `text` and `id`, the names of the
columns.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import ledger, results, storage
from pipeline.datasets.texts import Found, filled, read, told
from pipeline.evaluation.collect import finished
from pipeline.settings import Prepare, SettingsError

SCORE = "similarity_image"


def from_run(settings: Prepare) -> pa.Table:
    """The table with captions."""
    options = settings.source.options
    table = read(settings.input.path, {name: options[name] for name in ("text", "id")})
    found = chosen(table, options, said(options["run"]))
    return filled(table, options["text"], found, "captioner")


def chosen(table: pa.Table, options: Mapping[str, Any], captions: Mapping[str, Found]) -> dict[int, Found]:
    """The captions of rows without a text that are sure enough, by numbers of rows; a run knows ids as texts."""
    least = -1.0 if options["confidence"] is None else options["confidence"]
    names = map(str, table[options["id"]].to_pylist())
    return {
        row: captions[name]
        for row, (name, text) in enumerate(zip(names, told(table, options["text"]), strict=True))
        if not text and name in captions and (captions[name].confidence or 0.0) >= least
    }


def said(run: str) -> dict[str, Found]:
    """The best selected caption of each input of a run, by the input's id."""
    plan = finished(run)
    if results.of(plan.task).kind != "text":
        raise SettingsError(f"source.options.run={run} is a run of task={plan.task.name}; take one of task=caption")
    best: dict[str, Found] = {}
    for stored in ledger.data_objects(run):
        with storage.open_parquet(stored.uri) as file:
            rows = file.read(columns=["source_id", "caption", "selected", "scores"]).to_pylist()
        for row in rows:
            sure = (row["scores"] or {}).get(SCORE)
            before = best.get(row["source_id"])
            if row["selected"] and row["caption"] and (before is None or _surer(sure, before.confidence)):
                best[row["source_id"]] = Found(row["caption"], sure)
    return best


def _surer(one: float | None, other: float | None) -> bool:
    """Whether the first of two similarities is the larger; one that is not known is none."""
    return one is not None and (other is None or one > other)
