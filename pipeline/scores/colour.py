"""Colour error against a reference picture: CIELAB Delta E (CIE76), over the reference's pixels that are not white.

Delta E 2.3 is about the smallest difference that a person sees; between two random drawings it is 30 to 40.
"""

import numpy as np
from skimage.color import deltaE_cie76, rgb2lab

from pipeline.media import Pixels
from pipeline.scores import MISSING, Sample

WHITE = 250  # a pixel whose channels are all at least this is ground


def colour_error(result: Pixels, reference: Pixels) -> float:
    """Mean Delta E between two RGB pictures [H, W, 3], >= 0; NaN for a reference that is all white."""
    drawn = ~(reference >= WHITE).all(-1)
    if not drawn.any():
        return MISSING
    return float(deltaE_cie76(rgb2lab(result)[drawn], rgb2lab(reference)[drawn]).mean())


def delta_e(sample: Sample) -> float:
    """Colour error of a result; NaN where the input has no reference picture."""
    reference = sample.inputs.get("image")
    return colour_error(sample.result, reference) if isinstance(reference, np.ndarray) else MISSING
