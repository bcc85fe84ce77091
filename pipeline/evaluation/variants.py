"""Variants: inputs that share a drawing and differ by their text alone, such as the five skin tones of one figure.

A result is right if, of all pictures of its family, it is nearest to its own reference. Distance is mean
Delta E over the pixels in which the family's pictures differ.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_cie76, rgb2lab

from pipeline import results, storage
from pipeline.evaluation import inputs, intervals
from pipeline.evaluation.collect import Group
from pipeline.evaluation.inputs import Wanted
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.slices import Slices
from pipeline.ledger import Plan
from pipeline.media import Pixels
from pipeline.settings import Evaluate, SettingsError

DIFFERS = 2.3  # Delta E that a person just sees


def figures(settings: Evaluate, plan: Plan, kept: Slices) -> Mapping[Group, dict[str, Estimate]]:
    """Share of right ones in each slice's sample, if `settings.variants` names the column of families."""
    column = settings.variants
    if column is None:
        return {}
    kind = results.of(plan.task)
    if kind.kind != "image" or kind.reference is None:
        raise SettingsError(f"variants={column} compares pictures with their references, which this run has not")
    with storage.open_parquet(plan.files[0].uri) as parquet:
        names = parquet.schema_arrow.names
    if column not in names:
        raise SettingsError(f"variants={column}: the input has no such column; it has {', '.join(names)}")
    every = {str(source) for own in kept.values() for source in own.sample.source_id}
    wanted = Wanted(every, [kind.reference], [column])
    known = inputs.read(settings.run, plan, inputs.result_size(settings.run, plan), wanted)
    family = {source: str(values[column]) for source, values in known.columns.items() if values[column] is not None}
    made = inputs.stored(settings.run, plan, {str(row) for own in kept.values() for row in own.sample.row_id})
    references, found = known.values[kind.reference], {}
    for group, own in kept.items():
        sources = [str(source) for source in own.sample.source_id]
        pictures = [np.asarray(kind.stored(made[str(row)])) for row in own.sample.row_id]
        shares = right(pictures, sources, family, references)
        found[group] = {"variant_right": intervals.mean(shares, sources, own.sample.together)}
    return found


def nearest(result: Pixels, family: Sequence[Pixels]) -> int | None:
    """Index of the family's picture that a result [H, W, 3] is nearest to; None if the pictures are all the same."""
    labs = [rgb2lab(p) for p in family]
    where = np.zeros(result.shape[:2], dtype=bool)
    for lab in labs[1:]:
        where |= deltaE_cie76(labs[0], lab) > DIFFERS
    if not where.any():
        return None
    own = rgb2lab(result)[where]
    return int(np.argmin([deltaE_cie76(own, lab[where]).mean() for lab in labs]))


def right(
    results: Sequence[Pixels], sources: Sequence[str], family_of: Mapping[str, str], references: Mapping[str, Pixels]
) -> NDArray[np.float32]:
    """1 or 0 for each result of an input whose family has several pictures, NaN for the others."""
    families: dict[str, list[str]] = {}
    for source, family in family_of.items():
        if source in references:
            families.setdefault(family, []).append(source)
    out = np.full(len(results), np.nan, np.float32)
    for row, (result, source) in enumerate(zip(results, sources, strict=True)):
        members = families.get(family_of.get(source, ""), [])
        if len(members) > 1 and source in members:
            found = nearest(result, [references[m] for m in members])
            out[row] = np.nan if found is None else float(members[found] == source)
    return out
