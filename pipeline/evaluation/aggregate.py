"""Figures of a run for every slice, each with its number of inputs and its interval: as tables and as JSON."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline import storage
from pipeline.evaluation import anchors, described, stream, tables, variants
from pipeline.evaluation.collect import Group, finished
from pipeline.evaluation.figures import Figures, differences, figures, warnings
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Metric
from pipeline.evaluation.slices import Slice, Slices, same_but_first_cell
from pipeline.ledger import Plan
from pipeline.settings import Evaluate, resolve

Needed = Mapping[str, Mapping[str, int | None]]  # group -> score -> inputs that show a difference of its size


def evaluate(settings: Evaluate) -> str:
    """Compute, write report/evaluation.json and .csv below the run, and return a table for people and the path."""
    plan = finished(settings.run)
    metrics: list[Metric] = [resolve(name) for name in settings.sets.values()]
    kept = stream.gather(settings, plan)
    scores = list(plan.identity["task"]["scores"])
    names = {group: " ".join(group) or "all" for group in kept}
    found = {names[group]: figures(own, scores, metrics) for group, own in kept.items()}
    for extra in _extras(settings):
        for group, more in extra(settings, plan, kept).items():
            found[names[group]] |= more
    small = {names[group]: warnings(found[names[group]], _groups(settings, own)) for group, own in kept.items()}
    paired, needed = _paired(settings, plan, kept, scores)
    body = {
        "by": settings.by,
        "judge": plan.identity["model"]["judge"],
        "features": settings.features or "judge",
        "groups": found,
        "warnings": small,
        "paired": paired,
        "inputs_needed": needed,
    }
    path = storage.join(settings.run, "report", "evaluation.json")
    storage.put(path, (json.dumps(body, indent=1, default=_finite) + "\n").encode())
    storage.put(storage.join(settings.run, "report", "evaluation.csv"), tables.csv({**found, **paired}))
    return f"{tables.text(found)}\n{_difference_table(paired, needed)}{_warned(small)}{path}"


def _extras(settings: Evaluate) -> Iterator[Callable[[Evaluate, Plan, Slices], Mapping[Group, Figures]]]:
    """Figures that need more than stored columns."""
    yield anchors.figures
    yield variants.figures
    yield described.figures
    if settings.training.path is not None:
        from pipeline.evaluation import memorised  # which takes torch

        yield memorised.figures


def _groups(settings: Evaluate, kept: Slice) -> int | None:
    """How many groups of inputs a slice has, if these are drawn."""
    return len(set(kept.sample.unit.tolist())) if settings.groups else None


def _finite(estimate: Estimate) -> dict[str, float | None]:
    """An estimate for JSON, which has no NaN."""
    return {k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(estimate).items()}


def _paired(settings: Evaluate, plan: Plan, kept: Slices, scores: Sequence[str]) -> tuple[dict[str, Figures], Needed]:
    """Mean differences of every group from the first cell over the inputs of both, and the inputs they need."""
    cells, paired, needed = [c.name for c in plan.cells], {}, {}
    for group, own in kept.items():
        found = differences(own, scores)
        if found:
            name = f"{' '.join(group)} - {' '.join(same_but_first_cell(group, settings.by, cells))}"
            paired[name] = {score: estimate for score, (estimate, _) in found.items()}
            needed[name] = {score: count for score, (_, count) in found.items()}
    return paired, needed


def _difference_table(paired: Mapping[str, Figures], needed: Needed) -> str:
    if not paired:
        return ""
    asked = {name: {s: "" if n is None else f"{n:,}" for s, n in own.items()} for name, own in needed.items()}
    return (
        f"\npaired over inputs\n{tables.text(paired)}\n\ninputs that show such a difference\n{tables.text(asked)}\n\n"
    )


def _warned(small: Mapping[str, Mapping[str, str]]) -> str:
    said: dict[str, list[str]] = {}
    for own in small.values():
        for name, text in own.items():
            said.setdefault(text, []).append(name)
    return "".join(f"warning: {text} ({', '.join(dict.fromkeys(names))})\n" for text, names in said.items())
