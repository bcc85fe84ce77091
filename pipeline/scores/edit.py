"""Scores of an edited picture: what was kept of its source, what changed, and whether it changed as the words say."""

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_cie76, rgb2lab

from pipeline.scores import MISSING, Sample

FREE = 128  # grey of a mask from which on a pixel may change


def _difference(sample: Sample, inside: bool) -> float:
    """Mean Delta E (CIE76) to the source, inside or outside the mask; NaN without source or such pixels."""
    source, mask = sample.inputs.get("source"), sample.inputs.get("mask")
    if source is None or (mask is None and not inside):
        return MISSING
    where = np.ones(source.shape[:2], bool) if mask is None else (mask >= FREE) == inside
    if not where.any():
        return MISSING
    return float(deltaE_cie76(rgb2lab(sample.result)[where], rgb2lab(source)[where]).mean())


def kept(sample: Sample) -> float:
    """Mean Delta E to the source outside the mask, >= 0: less is better. NaN without a mask."""
    return _difference(sample, inside=False)


def changed(sample: Sample) -> float:
    """Mean Delta E to the source inside the mask, >= 0, everywhere without one: how much was done."""
    return _difference(sample, inside=True)


def clip_direction(sample: Sample) -> float:
    """Cosine in [-1, 1] of the way from source to result and of that from caption to text (StyleGAN-NADA, Gal et al.
    2022). NaN where one of them is missing, or nothing changed."""
    given = sample.input_embeddings
    if any(role not in given for role in ("source", "text", "caption")):
        return MISSING
    return _cosine(sample.embedding - given["source"], given["text"] - given["caption"])


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else MISSING
