"""Scheduled runs: inputs that an earlier run of the same recipe has finished are left out of a new plan.

A planned row is known by its row_id, which holds the recipe, the input's id, the cell and the sample, together
with the version of the file that it came from. So a changed file's inputs are new, and failed rows are tried again.
"""

import glob
from collections.abc import Iterator, Sequence

from pipeline import audit, ledger, storage
from pipeline.cells import cells, models, of_model
from pipeline.ledger import Plan
from pipeline.plan import Inputs
from pipeline.seeds import digest, row_id
from pipeline.settings import Generate, SettingsError
from pipeline.sources import Source
from pipeline.storage import Stored

Rows = list[tuple[str, str, int]]  # what names a planned row, but for its input


def earlier_runs(settings: Generate) -> list[str]:
    """Outputs that new_since names, by URI or glob; never the run's own."""
    found: list[str] = []
    for pattern in settings.new_since:
        plans = storage.match_objects(ledger.plan_uri(pattern), "plan.json")
        if not plans and not glob.has_magic(pattern):
            raise SettingsError(f"new_since={pattern}: no run has been there; a glob, as in …/runs/*, may match none")
        found += [p.uri.removesuffix("/plan/plan.json") for p in plans]
    own = storage.canonical(settings.output)
    return [uri for uri in dict.fromkeys(found) if storage.canonical(uri) != own]


def finished(output: str, plan: Plan) -> Iterator[bytes]:
    """Keys of the rows of a run that ended ok."""
    done = set(ledger.done(output))
    for shard, rows in ledger.planned(output, plan):
        if shard in done:
            ok = audit.ok_rows(ledger.shard_uri(output, shard))
            places = zip(rows["row_id"].to_pylist(), rows["file"].to_pylist(), strict=True)
            yield from (digest(name, plan.files[file].version) for name, file in places if name in ok)


def new_only(settings: Generate, names: Sequence[str], files: Sequence[Stored], inputs: Inputs) -> Inputs:
    """The inputs of which some row is still to be made; `names` are the fingerprints of the run's models."""
    known: set[bytes] = set()
    for output in earlier_runs(settings):
        plan = ledger.load(output)
        if plan is not None and set(plan.fingerprints) & set(names):
            known.update(finished(output, plan))
    rows = _rows(settings, names)

    def new() -> Iterator[Source]:
        for source in inputs():
            version = files[source.file].version
            if not all(digest(row_id(name, source.id, cell, k), version) in known for name, cell, k in rows):
                yield source

    return new


def _rows(settings: Generate, names: Sequence[str]) -> Rows:
    found = cells(settings)
    return [
        (name, cell.key, k)
        for name, model in zip(names, models(settings), strict=True)
        for cell in of_model(found, model)
        for k in range(settings.num_samples)
    ]
