"""Words that a text and its reference share, as question answering counts them (Rajpurkar et al. 2016, SQuAD)."""

import collections
import re

from pipeline.scores import MISSING, Sample

WORD = re.compile(r"\w+")


def words(text: str) -> collections.Counter[str]:
    """Each word of a text, in small letters, and how often it stands there."""
    return collections.Counter(WORD.findall(text.lower()))


def f1(said: str, meant: str) -> float:
    """Harmonic mean of the shares of each text's words that the other has, in [0, 1]; 1 of two without words."""
    one, two = words(said), words(meant)
    if not one or not two:
        return float(one == two)
    return 2 * (one & two).total() / (one.total() + two.total())


def overlap(sample: Sample) -> float:
    """`f1` of a result and its reference text; NaN where the input has none."""
    meant = sample.inputs.get("text")
    return f1(sample.result, meant) if isinstance(meant, str) else MISSING
