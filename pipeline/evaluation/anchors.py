"""What sketch fidelity is read against: its ceiling and its null, and what share of the way between them was reached.

Ceiling: real pictures against their own sketch. Null: against another input's. Both over the sampled inputs of a
slice that have a sketch and a picture, ANCHOR_INPUTS at most: they are decoded for it.
"""

import math
from collections.abc import Mapping

import numpy as np

from pipeline.evaluation import inputs
from pipeline.evaluation.collect import Group
from pipeline.evaluation.inputs import Inputs, Wanted
from pipeline.evaluation.intervals import ALONE, Estimate, Together, mean
from pipeline.evaluation.slices import Sample, Slices
from pipeline.ledger import Plan
from pipeline.scores.sketch import sketch_f1
from pipeline.settings import Evaluate

ANCHOR_INPUTS = 1000  # of a slice
LEAST_SPAN = 0.05  # between null and ceiling, below which a share of it means nothing
SCORE = "sketch_f1"
ROLES = ("sketch", "image")


def figures(settings: Evaluate, plan: Plan, kept: Slices) -> Mapping[Group, dict[str, Estimate]]:
    """Of each slice, where the run has this score."""
    scores = list(plan.identity["task"]["scores"])
    if SCORE not in scores:
        return {}
    wanted = {group: sources(own.sample) for group, own in kept.items()}
    every = {source for own in wanted.values() for source in own}
    known = inputs.read(settings.run, plan, inputs.result_size(settings.run, plan), Wanted(every, ROLES))
    reached = {group: own.scores.estimates()[scores.index(SCORE)] for group, own in kept.items()}
    return {group: share(known, wanted[group], reached[group], kept[group].sample.together) for group in kept}


def sources(sample: Sample) -> tuple[str, ...]:
    """The first inputs of a sample, in its order."""
    return tuple(dict.fromkeys(map(str, sample.source_id)))[:ANCHOR_INPUTS]


def share(known: Inputs, wanted: tuple[str, ...], reached: Estimate, together: Together = ALONE) -> dict[str, Estimate]:
    """Ceiling, null, and where a fidelity stands between them. The interval of the share is that of the fidelity; it
    takes the anchors as given. Sketches that are all alike give no share."""
    ceiling, null = anchors(known, wanted, together)
    span = ceiling.value - null.value
    if math.isnan(span):
        return {}
    found = {f"{SCORE}_ceiling": ceiling, f"{SCORE}_null": null}
    if span >= LEAST_SPAN:
        scaled = [(v - null.value) / span for v in (reached.value, reached.low, reached.high)]
        found[f"{SCORE}_share"] = Estimate(scaled[0], scaled[1], scaled[2], reached.n)
    return found


def anchors(known: Inputs, wanted: tuple[str, ...], together: Together = ALONE) -> tuple[Estimate, Estimate]:
    """(ceiling, null). Inputs without a sketch or a picture are left out; of fewer than two others both are NaN."""
    sketch, image = (known.values[role] for role in ROLES)
    both = [s for s in wanted if s in sketch and s in image]
    if len(both) < 2:
        return mean(np.array([]), []), mean(np.array([]), [])
    own = np.array([sketch_f1(sketch[s], image[s]) for s in both])
    others = [*both[1:], both[0]]  # the sample's order is that of hashes: as good as drawn
    shuffled = np.array([sketch_f1(sketch[a], image[b]) for a, b in zip(both, others, strict=True)])
    return mean(own, both, together), mean(shuffled, others, together)
