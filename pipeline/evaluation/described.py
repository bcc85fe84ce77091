"""Sets of results and of real ones in spaces of plain descriptors, which need no judge (results/: `descriptors`).

Of a dance these are its kinetic and geometric features (motion/features.py), and the figures those that the field
prints: `fid_k` and `fid_g`, the Frechet distance between results and real dances, `dist_k` and `dist_g`, the mean
distance between two results of different inputs, with that of real dances beside it (`dist_k_real`), which is what to
aim for. All are taken after standardising by the real ones' mean and deviation, as in Li et al. 2021 (FACT).

Over the sampled results of a slice whose inputs have a real one; real ones are cut to their result's length.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from pipeline import ledger, results
from pipeline.evaluation import inputs, intervals
from pipeline.evaluation.collect import Group
from pipeline.evaluation.inputs import Wanted
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Rows, gaussian, pairs
from pipeline.evaluation.slices import Sample, Slices
from pipeline.ledger import Plan
from pipeline.motion.features import standardised
from pipeline.results import Result
from pipeline.settings import Evaluate

LEAST_SIZE = 2  # frames (or pixels): what is shorter has no speed
Vectors = dict[str, NDArray[np.float64]]  # name of a descriptor -> [D]


@dataclasses.dataclass(frozen=True)
class Described:
    """Descriptors of a run's sampled results, and of their inputs' real ones."""

    made: dict[str, Vectors]  # row id -> of its result
    real: dict[str, Vectors]  # source id -> of its real one


def figures(settings: Evaluate, plan: Plan, kept: Slices) -> Mapping[Group, dict[str, Estimate]]:
    """Of each slice's sample, for every descriptor of the run's kind of results."""
    if not results.of(plan.task).descriptors:
        return {}
    found = describe(settings.run, plan, {str(row) for own in kept.values() for row in own.sample.row_id})
    return {group: of_sample(found, own.sample) for group, own in kept.items()}


def describe(run: str, plan: Plan, wanted: set[str]) -> Described:
    """Of some rows of a run. Holds the results of one shard at a time."""
    kind, found = results.of(plan.task), Described({}, {})
    roles = [kind.reference] if kind.reference else []
    for shard in ledger.done(run):
        source_of = {str(r["row_id"]): str(r["source_id"]) for r in ledger.shard_rows(run, plan, shard).to_pylist()}
        stored = inputs.stored(run, plan, wanted & set(source_of), [shard])
        made = {row: value for row, columns in stored.items() if (value := kind.stored(columns)) is not None}
        size = max(map(len, made.values()), default=0)
        known = inputs.read(run, plan, size, Wanted({source_of[row] for row in made}, roles, shards=[shard])).values
        for row, value in made.items():
            source, role = source_of[row], kind.reference or ""
            if source in known.get(role, {}) and source not in found.real:
                found.real[source] = _vectors(kind, kind.fitted(kind.kind, known[role][source], len(value)))
            found.made[row] = _vectors(kind, value)
    return found


def _vectors(kind: Result, value: NDArray[Any]) -> Vectors:
    """None of what is too short to be described."""
    return {name: of(value) for name, of in kind.descriptors.items()} if len(value) >= LEAST_SIZE else {}


def of_sample(found: Described, sample: Sample) -> dict[str, Estimate]:
    """Figures of a slice; none for fewer inputs with a real result than leaving one out takes."""
    every = zip(sample.row_id.tolist(), sample.source_id.tolist(), strict=True)
    both = [(row, source) for row, source in every if found.made.get(row) and found.real.get(source)]
    sources = tuple(source for _, source in both)
    if len(set(intervals.units(sources, sample.together))) < gaussian.LEAST:
        return {}
    out: dict[str, Estimate] = {}
    for name in found.made[both[0][0]]:
        real = np.array([found.real[source][name] for source in sources])
        made = np.array([found.made[row][name] for row, _ in both])
        once = real[np.unique(sources, return_index=True)[1]]
        scaled, least = (Rows(sources, standardised(x, once).astype(np.float32), sample.together) for x in (made, real))
        out[f"fid_{name}"] = gaussian.distance(scaled, least.one_each())
        out[f"dist_{name}"], out[f"dist_{name}_real"] = spread(scaled), spread(least.one_each())
    return out


def spread(rows: Rows) -> Estimate:
    """Mean Euclidean distance between two rows of different inputs."""
    grouped = pairs.Grouped.of(rows)
    return intervals.jackknife_sums(lambda t: t[0] / t[1], pairs.sums(cdist, grouped, grouped), rows.inputs)
