"""Conditions that are nothing but noise: what a model has to have seen in training if it is not to believe them."""

import string
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LETTERS = np.array([*string.ascii_lowercase, " "])
LENGTH = 24  # letters of a text that says nothing


def flooded(texts: Sequence[str], sketch: Tensor, share: float, generator: torch.Generator) -> tuple[list[str], Tensor]:
    """Texts and sketches [B, 1, S, S] in [0, 1]: in a `share` of the rows the text is letters in no order, in another,
    which has no row in common with it, the sketch is black and white at random."""
    u = torch.rand(len(texts), generator=generator)
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    said = ["".join(rng.choice(LETTERS, LENGTH)) if x < share else text for text, x in zip(texts, u, strict=True)]
    noise = torch.randint(2, sketch.shape, generator=generator).to(sketch)
    drowned = ((u >= share) & (u < 2 * share)).to(sketch.device)
    return said, torch.where(drowned[:, None, None, None], noise, sketch)
