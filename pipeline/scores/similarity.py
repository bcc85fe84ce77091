"""Cosine similarity of a result and its inputs in the judge's space; of a CLIP, the CLIP score (Hessel et al. 2021)
without its factor. A function here has the name of the role that it compares with."""

from pipeline.scores import MISSING, Sample


def similarity(sample: Sample, role: str) -> float:
    """Cosine similarity in [-1, 1] of the result and the input of a role; NaN where the input is missing."""
    if role not in sample.input_embeddings:
        return MISSING
    return float(sample.embedding @ sample.input_embeddings[role])


def text(sample: Sample) -> float:
    """Similarity to the text."""
    return similarity(sample, "text")


def sketch(sample: Sample) -> float:
    """Similarity to the sketch."""
    return similarity(sample, "sketch")


def image(sample: Sample) -> float:
    """Similarity to the reference picture."""
    return similarity(sample, "image")


def music(sample: Sample) -> float:
    """Similarity to the music."""
    return similarity(sample, "music")


def motion(sample: Sample) -> float:
    """Similarity to the reference motion."""
    return similarity(sample, "motion")
