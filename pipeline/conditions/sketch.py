"""Sketch -> spatial evidence: its pixels as a map, and its place in the shared space as one token.

The map stays small here; the model's own adapter turns it into features once per batch (models/image.py).
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.clip import Clip, shared_clip
from pipeline.media import Pixels, fit


class SketchEncoder:
    """Dark lines on light ground -> Condition with one map [B, 1, S, S] that is 1 on lines and 0 on ground."""

    def __init__(self, clip: Clip, size: int) -> None:
        self.clip, self.size = clip, size

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """With the CLIP in <model>/clip."""
        clip = shared_clip(context)
        return cls(clip, clip.image_size)

    def __call__(self, values: Sequence[Pixels | None]) -> Condition:
        """Evidence of B grey sketches [H, W]; a missing one is encoded as empty paper and marked absent."""
        blank = np.full((self.size, self.size), 255, np.uint8)
        pixels = np.stack([blank if v is None else fit(v, self.size) for v in values])
        present = torch.tensor([v is not None for v in values])
        return self.of_tensor(torch.from_numpy(pixels)[:, None].float() / 255, present)

    def of_tensor(self, sketch: Tensor, present: Tensor | None = None) -> Condition:
        """Evidence of sketches [B, 1, S, S] in [0, 1]; None: all are present."""
        rows = len(sketch)
        pooled = self.clip.embed_images(sketch.expand(-1, 3, -1, -1))
        return Condition(
            tokens=pooled[:, None],
            mask=torch.ones(rows, 1, dtype=torch.bool),
            pooled=pooled,
            maps=(1 - sketch,),
            present=torch.ones(rows, dtype=torch.bool) if present is None else present,
        )
