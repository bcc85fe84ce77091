"""Variants: inputs that share a drawing and differ by their text alone, such as the five skin tones of one figure.

A result is right if, of all pictures of its family, it is nearest to its own reference. Distance is mean
Delta E over the pixels in which the family's pictures differ.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_cie76, rgb2lab

from pipeline.media import Pixels

DIFFERS = 2.3  # Delta E that a person just sees


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
