"""Near-duplicates of training rows: how near each result is to the nearest one that the model was trained on.

Read against the same of the real references, which the model has not seen: results that are nearer to training rows
than real pictures are were remembered, not made.
"""

import functools
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from numpy.typing import NDArray

from pipeline import progress, results, storage
from pipeline.evaluation import inputs, intervals, judge
from pipeline.evaluation.collect import Group
from pipeline.evaluation.intervals import ALONE, Estimate, Together
from pipeline.evaluation.sets.neighbours import Nearest
from pipeline.evaluation.slices import Slices
from pipeline.kinds import KINDS
from pipeline.ledger import Plan
from pipeline.results import Result
from pipeline.settings import Evaluate, Input, SettingsError
from pipeline.sources import input_files, source_rows
from pipeline.stages import attempt
from pipeline.stages.load import Reader
from pipeline.storage import Stored

BATCH = 64
SHOWN = 12  # pairs in the picture, in three rows
QUANTILE = 0.99  # of the references: nearer than these, a result is called a near-duplicate
Place = tuple[int, int]  # file and row of a training row


def figures(settings: Evaluate, plan: Plan, kept: Slices) -> Mapping[Group, dict[str, Estimate]]:
    """Of each slice's sample; writes the nearest pairs of all slices to report/memorised.png."""
    if settings.features is not None:
        raise SettingsError("training.path compares in the judge's features; leave out features=")
    rows = np.concatenate([own.sample.result for own in kept.values()]).astype(np.float32)
    real = {str(s): e for own in kept.values() for s, e in zip(own.sample.source_id, own.sample.reference, strict=True)}
    real = {source: e for source, e in real.items() if np.isfinite(e).all()}
    references = np.array(list(real.values()), np.float32).reshape(-1, rows.shape[1])
    search = Nearest(np.concatenate([rows, references]), k=1)
    places: list[Place] = []
    for embedded, here in _embedded(settings, plan):
        search.add(embedded, np.arange(len(places), len(places) + len(here)))
        places += here
    if not places:
        raise SettingsError(f"training.path={settings.training.path} has no row that can be decoded")
    similarity, nearest = (side[:, 0] for side in search.best())
    level = float(np.quantile(similarity[len(rows) :], QUANTILE)) if len(references) else 1.0
    at = np.cumsum([0, *(len(own.sample.source_id) for own in kept.values())])
    _picture(settings, plan, kept, similarity[: len(rows)], [places[i] for i in nearest[: len(rows)]])
    near = dict(zip(real, similarity[len(rows) :].tolist(), strict=True))
    return {
        group: _figures(similarity[a:b], own.sample.source_id.tolist(), near, level, own.sample.together)
        for (group, own), a, b in zip(kept.items(), at, at[1:], strict=False)
    }


def _figures(
    similar: NDArray[np.float32],
    sources: Sequence[str],
    real: Mapping[str, float],
    level: float,
    together: Together = ALONE,
) -> dict[str, Estimate]:
    """Mean similarity to the nearest training row, that of the references, and the share of near-duplicates:
    results that are nearer than all but 1 - QUANTILE of the references."""
    found = {"nearest_training": intervals.mean(similar, sources, together)}
    if real:
        found["nearest_training_real"] = intervals.mean(np.array(list(real.values())), list(real), together)
        found["near_duplicates"] = intervals.share((similar > level).astype(np.float64), sources, together)
    return found


def _embedded(settings: Evaluate, plan: Plan) -> Iterator[tuple[NDArray[np.float32], list[Place]]]:
    """Training rows in the judge's space, a batch at a time; what cannot be decoded is left out."""
    own, kind = judge.load(plan, settings.judge), results.of(plan.task)
    for values, places in _batches(settings, kind, column(settings, plan)):
        if values:
            yield own.embed(kind.kind, values).cpu().numpy(), places


def column(settings: Evaluate, plan: Plan) -> str:
    """The column of training rows that is compared: as given, or the one that held this run's references."""
    given = plan.identity["input"]["columns"]
    found = settings.training.column or given.get(results.of(plan.task).reference or "")
    if not found:
        raise SettingsError("training.column= must be given: this run had no references whose column could be taken")
    return str(found)


def _batches(settings: Evaluate, kind: Result, name: str) -> Iterator[tuple[list[Any], list[Place]]]:
    training = settings.training
    source = Input(str(training.path), {"id": None, kind.kind: name}, ())
    files = input_files(source)
    rows = [(row.file, row.row) for row in source_rows(source, files, training.where)]
    with progress.bar("training rows", len(rows)) as advance:
        for start in range(0, len(rows), BATCH):
            here = rows[start : start + BATCH]
            decoded = list(zip(_decoded(files, kind, name, here), here, strict=True))
            yield [v for v, _ in decoded if v is not None], [place for v, place in decoded if v is not None]
            advance(len(here), "")


def _decoded(files: Sequence[Stored], kind: Result, name: str, places: Sequence[Place]) -> list[Any]:
    """Training rows' values in the order of their places, which ascend; None where one cannot be decoded."""
    found: list[Any] = []
    decode = KINDS[kind.kind].decode
    for file, group in itertools.groupby(places, lambda place: place[0]):
        cells = Reader(files[file], {"cell": name}).rows([row for _, row in group])["cell"].to_pylist()
        found += [attempt("evaluate", name, functools.partial(decode, cell))[0] for cell in cells]
    return found


def _picture(
    settings: Evaluate, plan: Plan, kept: Slices, similarity: NDArray[np.float32], places: Sequence[Place]
) -> None:
    """Results beside the training rows that they are nearest to, the nearest pairs of all."""
    kind, name = results.of(plan.task), column(settings, plan)
    names = [str(row) for own in kept.values() for row in own.sample.row_id]
    shown = np.argsort(-similarity, kind="stable")[:SHOWN].tolist()
    made = inputs.stored(settings.run, plan, {names[i] for i in shown})
    files = input_files(Input(str(settings.training.path), {}, ()))
    figure = matplotlib.figure.Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(3, SHOWN // 3 * 2, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for pair, i in enumerate(shown):
        training = _decoded(files, kind, name, [places[i]])[0]
        axes[2 * pair].imshow(kind.preview(np.asarray(kind.stored(made[names[i]])), {}))
        axes[2 * pair].set_title("result", fontsize=8)
        axes[2 * pair + 1].imshow(kind.preview(training, {}))
        axes[2 * pair + 1].set_title(f"training, {similarity[i]:.3f}", fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    storage.put(storage.join(settings.run, "report", "memorised.png"), out.getvalue())
