"""From what was kept of a slice to its figures, each with its interval and, where it has too few inputs, a warning."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Metric
from pipeline.evaluation.slices import Sample, Slice
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

Figures = dict[str, Estimate]  # name of a figure -> estimate
LEAST_INPUTS = 30  # below, intervals are too narrow: what was drawn is all that is known
LEAST_GROUPS = 3  # of inputs, for a jackknife


def figures(kept: Slice, scores: Sequence[str], metrics: Sequence[Metric]) -> Figures:
    """Means of all scores, the Frechet distance of all rows, and the set metrics of the sample."""
    found = dict(zip(scores, kept.scores.estimates(), strict=True))
    distance = frechet_distance(kept.results, kept.references, kept.sample)
    if distance:
        found["frechet"] = distance
    sets = kept.sample.sets()
    for metric in metrics:
        found |= metric(sets)
    return found


def frechet_distance(results: Moments, references: Moments, sample: Sample) -> Estimate | None:
    """Between results and references, exact over all rows. The interval is the sample's own jackknife, narrowed by the
    root of how many more inputs there are in all; None for fewer inputs than that takes."""
    sets = sample.sets()
    a, b = sets.against(sets.reference)
    if b.inputs < LEAST_GROUPS:
        return None
    own = (_by_group(a.features, a.source_id), _by_group(b.features, b.source_id))
    whole = [sum(side[1:], side[0]) for side in own]
    left_out = [
        frechet.distance(whole[0] - x, whole[1] - y)
        for x, y in zip(*own, strict=True)
        if min(whole[0].n - x.n, whole[1].n - y.n) > 1
    ]
    value = frechet.distance(results, references)
    spread = intervals.jackknifed(value, left_out, references.n)
    scale = math.sqrt(b.inputs / references.n)
    return Estimate(value, value - scale * (value - spread.low), value + scale * (spread.high - value), references.n)


def _by_group(features: NDArray[np.float32], sources: Sequence[str]) -> list[Moments]:
    group = intervals.groups(sources)
    return [Moments.of(features[group == g]) for g in range(int(group.max()) + 1)]


def warnings(found: Mapping[str, Estimate], features: int) -> dict[str, str]:
    """Figure -> what is wrong with its number of inputs."""
    out = {
        name: f"fewer than {LEAST_INPUTS} inputs: the interval is too narrow"
        for name, e in found.items()
        if e.n < LEAST_INPUTS
    }
    distance = found.get("frechet")
    if distance and distance.n < 2 * features:
        out["frechet"] = (
            f"{distance.n} inputs for {features} features: biased upwards; compare slices of equal numbers only"
        )
    return out


def differences(kept: Slice, scores: Sequence[str]) -> dict[str, tuple[Estimate, int | None]]:
    """Score -> (mean difference from the baseline over the inputs of both, inputs needed to see so large a one)."""
    found = {}
    spread = kept.paired.deviations()
    for name, estimate, deviation in zip(scores, kept.paired.estimates(), spread, strict=True):
        if estimate.n:
            known = estimate.value and math.isfinite(deviation)
            found[name] = (estimate, intervals.inputs_needed(estimate.value, float(deviation)) if known else None)
    return found
