"""Near-duplicates of training rows: how near each result is to the nearest picture that the model was trained on.

Read against the same of the real references, which the model has not seen: results that are nearer to training rows
than real pictures are were remembered, not made.
"""

import functools
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence

import matplotlib.figure
import numpy as np
from numpy.typing import NDArray

from pipeline import media, progress, storage
from pipeline.evaluation import inputs, intervals, judge
from pipeline.evaluation.collect import Group
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets.neighbours import Nearest
from pipeline.evaluation.slices import Slices
from pipeline.ledger import Plan
from pipeline.settings import Evaluate, Input, SettingsError
from pipeline.sources import input_files, source_rows
from pipeline.stages import attempt
from pipeline.stages.decode import DECODERS
from pipeline.stages.encode import embed
from pipeline.stages.load import Reader
from pipeline.storage import Stored

BATCH = 64
SHOWN = 12  # pairs in the picture, in three rows
QUANTILE = 0.99  # of the references: nearer than these, a result is called a near-duplicate
Place = tuple[int, int]  # file and row of a training picture


def figures(settings: Evaluate, plan: Plan, kept: Slices) -> Mapping[Group, dict[str, Estimate]]:
    """Of each slice's sample; writes the nearest pairs of all slices to report/memorised.png."""
    if settings.features is not None:
        raise SettingsError("training.path compares in the judge's features; leave out features=")
    rows = np.concatenate([own.sample.result for own in kept.values()]).astype(np.float32)
    real = {str(s): e for own in kept.values() for s, e in zip(own.sample.source_id, own.sample.reference, strict=True)}
    references = np.array([e for e in real.values() if np.isfinite(e).all()], np.float32).reshape(-1, rows.shape[1])
    search = Nearest(np.concatenate([rows, references]), k=1)
    places: list[Place] = []
    for embedded, here in _embedded(settings, plan):
        search.add(embedded, np.arange(len(places), len(places) + len(here)))
        places += here
    if not places:
        raise SettingsError(f"training.path={settings.training.path} has no picture that can be decoded")
    similarity, nearest = (side[:, 0] for side in search.best())
    level = float(np.quantile(similarity[len(rows) :], QUANTILE)) if len(references) else 1.0
    at = np.cumsum([0, *(len(own.sample.source_id) for own in kept.values())])
    _picture(settings, kept, similarity[: len(rows)], [places[i] for i in nearest[: len(rows)]])
    return {
        group: _figures(similarity[a:b], own.sample.source_id.tolist(), similarity[len(rows) :], level)
        for (group, own), a, b in zip(kept.items(), at, at[1:], strict=False)
    }


def _figures(
    similar: NDArray[np.float32], sources: Sequence[str], real: NDArray[np.float32], level: float
) -> dict[str, Estimate]:
    """Mean similarity to the nearest training picture, that of the references, and the share of near-duplicates:
    results that are nearer than all but 1 - QUANTILE of the references."""
    found = {"nearest_training": intervals.mean(similar, sources)}
    if real.size:
        found["nearest_training_real"] = intervals.mean(real, [str(i) for i in range(len(real))])
        found["near_duplicates"] = intervals.share((similar > level).astype(np.float64), sources)
    return found


def _embedded(settings: Evaluate, plan: Plan) -> Iterator[tuple[NDArray[np.float32], list[Place]]]:
    """Training pictures in the judge's space, a batch at a time; what cannot be decoded is left out."""
    clip = judge.load(plan, settings.judge)
    for pixels, places in _batches(settings):
        if pixels:
            yield embed(clip, "image", pixels).cpu().numpy(), places


def _batches(settings: Evaluate) -> Iterator[tuple[list[media.Pixels], list[Place]]]:
    training = settings.training
    source = Input(str(training.path), {"id": None, "image": training.image}, ())
    files = input_files(source)
    rows = [(row.file, row.row) for row in source_rows(source, files, training.where)]
    with progress.bar("training rows", len(rows)) as advance:
        for start in range(0, len(rows), BATCH):
            here = rows[start : start + BATCH]
            decoded = list(zip(_decoded(files, training.image, here), here, strict=True))
            yield [p for p, _ in decoded if p is not None], [place for p, place in decoded if p is not None]
            advance(len(here), "")


def _decoded(files: Sequence[Stored], column: str, places: Sequence[Place]) -> list[media.Pixels | None]:
    """Training pictures in the order of their places, which ascend; None where one cannot be decoded."""
    found: list[media.Pixels | None] = []
    for file, group in itertools.groupby(places, lambda place: place[0]):
        cells = Reader(files[file], {"image": column}).rows([row for _, row in group])["image"].to_pylist()
        found += [attempt("evaluate", "image", functools.partial(DECODERS["image"], cell))[0] for cell in cells]
    return found


def _picture(settings: Evaluate, kept: Slices, similarity: NDArray[np.float32], places: Sequence[Place]) -> None:
    """Results beside the training pictures that they are nearest to, the nearest pairs of all."""
    names = [str(row) for own in kept.values() for row in own.sample.row_id]
    shown = np.argsort(-similarity, kind="stable")[:SHOWN].tolist()
    made = inputs.results(settings.run, {names[i] for i in shown})
    files = input_files(Input(str(settings.training.path), {}, ()))
    figure = matplotlib.figure.Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(3, SHOWN // 3 * 2, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for pair, i in enumerate(shown):
        training = _decoded(files, settings.training.image, [places[i]])[0]
        axes[2 * pair].imshow(inputs.picture(made[names[i]]))
        axes[2 * pair].set_title("result", fontsize=8)
        axes[2 * pair + 1].imshow(training)
        axes[2 * pair + 1].set_title(f"training, {similarity[i]:.3f}", fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    storage.put(storage.join(settings.run, "report", "memorised.png"), out.getvalue())
