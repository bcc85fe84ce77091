"""Figures of a run for every group of rows, each with its number of inputs and its interval."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import storage
from pipeline.evaluation import inputs, intervals, variants
from pipeline.evaluation.collect import Rows, collect, finished
from pipeline.evaluation.inputs import Inputs
from pipeline.evaluation.intervals import Estimate
from pipeline.ledger import Plan
from pipeline.scores import frechet
from pipeline.settings import Evaluate, SettingsError

Figures = dict[str, Estimate]  # name of a figure -> estimate
LEAST_SPAN = 0.05  # between null and ceiling, below which a share of it means nothing


def evaluate(settings: Evaluate) -> str:
    """Compute, write report/evaluation.json below the run, and return its path after a table for people."""
    plan = finished(settings.run)
    rows = collect(settings.run, plan, settings.by, images=settings.variants is not None)
    known = inputs.read(settings.run, plan, inputs.result_side(settings.run), _variant_columns(settings, plan))
    if settings.variants:
        rows.scores["variant_right"] = _variants(settings.variants, known, rows)
    groups = {g: rows.take([i for i, own in enumerate(rows.group) if own == g]) for g in dict.fromkeys(rows.group)}
    found = {" ".join(name) or "all": figures(group) for name, group in groups.items()}
    for name, group in zip(found, groups.values(), strict=True):
        found[name] |= _against_sketches(known, group)
    differences = _paired(list(groups.values()), list(found))
    path = storage.join(settings.run, "report", "evaluation.json")
    body = {"by": settings.by, "judge": plan.identity["model"]["judge"], "groups": found, "paired": differences}
    storage.put(path, (json.dumps(body, indent=1, default=_finite) + "\n").encode())
    return f"{table(found)}\n{_difference_table(differences)}{path}"


def _finite(estimate: Estimate) -> dict[str, float | None]:
    """An estimate for JSON, which has no NaN."""
    return {k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(estimate).items()}


def figures(rows: Rows) -> Figures:
    """Means of all scores, and the Frechet distance between results and references in the judge's features."""
    found = {name: intervals.mean(values, rows.source_id) for name, values in rows.scores.items()}
    both = np.isfinite(rows.reference).all(1)
    if len({rows.source_id[i] for i in np.flatnonzero(both)}) > 2:
        found["frechet"] = frechet_distance(rows.take(np.flatnonzero(both).tolist()))
    return found


def frechet_distance(rows: Rows) -> Estimate:
    """Over inputs: one result and one reference of each drawn input and sample."""
    sources = list(dict.fromkeys(rows.source_id))
    places: dict[str, list[int]] = {s: [] for s in sources}
    for i, source in enumerate(rows.source_id):
        places[source].append(i)

    def statistic(index: Any) -> float:
        at = [i for k in index for i in places[sources[k]]]
        return frechet.distance(frechet.Moments.of(rows.embedding[at]), frechet.Moments.of(rows.reference[at]))

    return intervals.jackknife(statistic, len(sources))


def _variant_columns(settings: Evaluate, plan: Plan) -> list[str]:
    if settings.variants is None:
        return []
    with storage.open_parquet(plan.files[0].uri) as parquet:
        names = parquet.schema_arrow.names
    if settings.variants not in names:
        raise SettingsError(f"variants={settings.variants}: the input has no such column; it has {', '.join(names)}")
    return [settings.variants]


def _variants(column: str, known: Inputs, rows: Rows) -> Any:
    pictures = [inputs.picture(data) for data in rows.images]
    family = {source: str(values[column]) for source, values in known.columns.items() if values[column] is not None}
    return variants.right(pictures, rows.source_id, family, known.image)


def _against_sketches(known: Inputs, rows: Rows) -> Figures:
    """Where sketch fidelity stands between its null and its ceiling, over the inputs that have both. The interval
    of the share is that of the fidelity; it takes the anchors as given. Sketches that are all alike give no share."""
    ceiling, null = inputs.sketch_anchors(known, rows.source_id)
    span = ceiling.value - null.value
    if "sketch_f1" not in rows.scores or math.isnan(span):
        return {}
    if span < LEAST_SPAN:
        return {"sketch_f1_ceiling": ceiling, "sketch_f1_null": null}
    rows = rows.take([i for i, s in enumerate(rows.source_id) if s in known.sketch and s in known.image])
    value = intervals.mean(rows.scores["sketch_f1"], rows.source_id)
    scaled = [(v - null.value) / span for v in (value.value, value.low, value.high)]
    share = Estimate(scaled[0], scaled[1], scaled[2], value.n)
    return {"sketch_f1_ceiling": ceiling, "sketch_f1_null": null, "sketch_f1_share": share}


def _paired(groups: Sequence[Rows], names: Sequence[str]) -> dict[str, Figures]:
    """Mean difference of every score from that of the first group with some of the same inputs, over those inputs."""
    found: dict[str, Figures] = {}
    for k, group in enumerate(groups):
        for other, first in zip(groups[:k], names[:k], strict=True):
            if shared := set(group.source_id) & set(other.source_id):
                found[f"{names[k]} - {first}"] = _differences(group, other, sorted(shared))
                break
    return found


def _differences(group: Rows, first: Rows, shared: Sequence[str]) -> Figures:
    def by_source(rows: Rows, score: str) -> Mapping[str, float]:
        sums: dict[str, list[float]] = {}
        for source, value in zip(rows.source_id, rows.scores[score].tolist(), strict=True):
            sums.setdefault(source, []).append(value)
        return {s: float(np.mean(v)) for s, v in sums.items()}

    out = {}
    for score in group.scores:
        a, b = by_source(group, score), by_source(first, score)
        out[score] = intervals.mean(np.array([a[s] - b[s] for s in shared]), list(shared))
    return out


def table(found: Mapping[str, Figures]) -> str:
    """Figures as text, a line for each, a column for each group."""
    names = list(dict.fromkeys(n for figures_ in found.values() for n in figures_))
    counts = [str(max((e.n for e in figures_.values()), default=0)) for figures_ in found.values()]
    rows = {"": list(found)}
    rows |= {name: [str(figures_.get(name, "")) for figures_ in found.values()] for name in names}
    width = max(28, *(len(group) + 2 for group in found))
    return "\n".join(
        f"{n:22}" + "".join(f"{c:>{width}}" for c in cells) for n, cells in (rows | {"inputs": counts}).items()
    )


def _difference_table(differences: Mapping[str, Figures]) -> str:
    return f"\npaired over inputs\n{table(differences)}\n\n" if differences else ""
