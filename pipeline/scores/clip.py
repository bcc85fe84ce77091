"""CLIP scores: cosine similarity of a result and its inputs in the judge's space (Hessel et al. 2021, unscaled)."""

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
