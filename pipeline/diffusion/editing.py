"""Editing a picture: from how much noise the loop sets out (SDEdit, Meng et al. 2022), and which part of it may change.

Conditions `source` (the picture) and `mask` (white where it may change; missing: everywhere) come as bytes
(conditions/pixels.py). What may not change is kept as latents at every step (constraint.py), and as pixels at the end.
Options of the task: `strength`, the share of the noise in (0, 1], 1 for noise alone; `paste`, whether what may not
change is the source's pixels rather than what the autoencoder makes of them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.constraint import Constraint, keeping
from pipeline.diffusion.sampler import Denoiser, Drawn, Guide, Start


class Editing(Denoiser, Protocol):
    """A denoiser of latent pictures that can start from one; `encode` makes latents of pictures."""

    options: Mapping[str, Any]

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents [B, C, h, w] of pictures [B, 3, S, S] in [0, 1]."""

    def prepare_edit(self, conditions: Conditions) -> dict[str, Condition]:
        """Source and mask, where there are any, as latents [B, C, h, w] and as [B, 1, h, w] that is 1 where free."""
        ready = {}
        if source := conditions.get("source"):
            ready["source"] = dataclasses.replace(source, maps=(self.encode(unit(source)),))
        if mask := conditions.get("mask"):
            ready["mask"] = dataclasses.replace(mask, maps=(shrunk(free(mask), self.latent_shape[-1]),))
        return ready

    def start(self, conditions: Conditions) -> Start | None:
        """The source with noise on it; None where nothing of it is to be seen."""
        strength = float(self.options.get("strength", 1.0))
        source = conditions.get("source")
        return None if source is None or strength >= 1 else Start(source.maps[0].float(), strength)

    def constraint(self, conditions: Conditions) -> Constraint | None:
        """What lies outside the mask is the source's."""
        source, mask = conditions.get("source"), conditions.get("mask")
        if source is None or mask is None:
            return None
        kept = (mask.maps[0] < 0.5) & (source.present & mask.present)[:, None, None, None]
        return keeping(source.maps[0].float(), kept.expand(-1, *self.latent_shape))

    def draw(
        self, conditions: Conditions, generators: Sequence[torch.Generator], scheduler: Any, steps: int, guide: Guide
    ) -> Drawn:
        """B pictures, what may not change pasted back."""
        drawn = super().draw(conditions, generators, scheduler, steps, guide)
        source, mask = conditions.get("source"), conditions.get("mask")
        if source is None or mask is None or not self.options.get("paste"):
            return drawn
        may = (free(mask) >= 0.5) | ~(source.present & mask.present)[:, None, None, None]
        values = torch.where(may.to(drawn.values.device), drawn.values, unit(source).to(drawn.values))
        return dataclasses.replace(drawn, values=values)


def unit(condition: Condition) -> Tensor:
    """Pictures of bytes in [0, 1]."""
    return condition.maps[0].float() / 255


def free(mask: Condition) -> Tensor:
    """[B, 1, S, S] that is 1 where a picture may change."""
    return unit(mask).round()


def shrunk(mask: Tensor, side: int) -> Tensor:
    """A mask [B, 1, S, S] of the size of latents."""
    return F.interpolate(mask, (side, side))
