"""Held-out rows: the stage's figures, and results really drawn for the first of them, scored and looked at."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from pipeline import media, storage
from pipeline.conditions import Judge
from pipeline.media import Pixels
from pipeline.scores import Sample
from pipeline.settings import resolve
from pipeline.train.data import Batch
from pipeline.train.settings import Train, Validate
from pipeline.train.stage import Drawn, Draws, Stage

BATCH = 128  # rows of which figures are made at once


def figures(stage: Stage, network: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """The stage's figures, averaged over batches."""
    found = [stage.validate(network, batch) for batch in batches]
    return averaged(found)


def drawn(stage: Stage, network: nn.Module, shard: Any, settings: Validate) -> Drawn | None:
    """Results for the first `samples` rows of the shard; None where the stage draws nothing, or nothing is asked."""
    if not settings.samples or not isinstance(stage, Draws):
        return None
    for batch in shard.iter_batches(batch_size=settings.samples, batch_format="numpy"):
        return stage.draw(network, batch, settings.steps)
    return None


def validate(stage: Stage, network: nn.Module, shard: Any, settings: Train) -> Drawn:
    """Figures of both kinds, those of what was drawn as drawn.<score>, and the picture (empty: none)."""
    known = figures(stage, network, shard.iter_batches(batch_size=BATCH, batch_format="numpy"))
    made = drawn(stage, network, shard, settings.validate)
    if made is None:
        return Drawn(known, np.zeros((0, 0, 3), np.uint8))
    own = {f"drawn.{name}": value for name, value in made.figures.items()}
    return dataclasses.replace(made, figures=known | own)


def show(output: str, epoch: int, picture: Pixels) -> None:
    """Put the picture where people look, samples/<epoch>.webp."""
    if picture.size:
        storage.put(storage.join(output, "samples", f"{epoch:05d}.webp"), media.encode_webp(picture))


def scored(scores: Mapping[str, str], samples: Sequence[Sample]) -> dict[str, float]:
    """Mean of each score (name -> "module:attribute", as in a task) over the results that have it."""
    functions = {name: resolve(attribute) for name, attribute in scores.items()}
    return averaged([{name: score(sample) for name, score in functions.items()} for sample in samples])


def compared(
    judge: Judge | None, kind: str, results: Sequence[Any], inputs: Mapping[str, Sequence[Any]]
) -> list[Sample]:
    """Results of one kind with their inputs (kind -> value of each), as scores see them. Without a judge nothing is
    known of their similarity."""
    own, seen = np.zeros((len(results), 0), np.float32), {}
    if judge is not None:
        own = judge.embed(kind, results).cpu().numpy()
        seen = {of: judge.embed(of, values).cpu().numpy() for of, values in inputs.items()}
    return [
        Sample(
            result,
            {of: values[row] for of, values in inputs.items()},
            own[row],
            {of: embedded[row] for of, embedded in seen.items()},
        )
        for row, result in enumerate(results)
    ]


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure, of the numbers among its values; figures without one are left out."""
    values = {name: np.array([f[name] for f in found], np.float64) for name in (found[0] if found else ())}
    return {name: float(np.nanmean(v)) for name, v in values.items() if not np.isnan(v).all()}
