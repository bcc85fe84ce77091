"""From what was kept of a slice to its figures, each with its interval and, where it has too few inputs, a warning."""

import math
from collections.abc import Mapping, Sequence

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Metric, gaussian
from pipeline.evaluation.sets.gaussian import Distance
from pipeline.evaluation.slices import Sample, Slice
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

Figures = dict[str, Estimate]  # name of a figure -> estimate
LEAST_INPUTS = 30  # below, intervals are too narrow: what was drawn is all that is known


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
    if b.units < gaussian.LEAST:
        return None
    value = frechet.distance(results, references)
    spread = intervals.jackknifed(value, gaussian.values(a, b)[1:], references.n)
    scale = math.sqrt(b.inputs / references.n)
    low, high = value - scale * (value - spread.low), value + scale * (spread.high - value)
    return Distance(value, low, high, references.n, len(references.first))


def warnings(found: Mapping[str, Estimate], groups: int | None = None) -> dict[str, str]:
    """Figure -> what is wrong with its number of inputs, or of groups of them if these are drawn."""
    out = {}
    for name, e in found.items():
        if groups is not None and groups < LEAST_INPUTS:
            out[name] = f"{groups} groups of inputs, fewer than {LEAST_INPUTS}: the interval is too narrow"
        elif e.n < LEAST_INPUTS:
            out[name] = f"fewer than {LEAST_INPUTS} inputs: the interval is too narrow"
        if isinstance(e, Distance) and e.n < 2 * e.features:
            out[name] = f"{e.n} inputs for {e.features} features: biased upwards; compare slices of equal numbers only"
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
