"""Stable Diffusion's inpainting checkpoints: a UNet that also sees the mask and what is left of the picture."""

import dataclasses

import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.editing import free, shrunk, unit
from pipeline.diffusion.families.stable_diffusion import StableDiffusion
from pipeline.models.fusion import Keep


class Inpainting(StableDiffusion):
    """`StableDiffusionInpaintPipeline` of a UNet with nine channels."""

    def prepare_edit(self, conditions: Conditions) -> dict[str, Condition]:
        """The source's latents, then those of what is left of it where the mask is not."""
        ready = super().prepare_edit(conditions)
        left = (unit(conditions["source"]) * 2 - 1) * (1 - free(conditions["mask"]))  # grey where it may change
        latents = self.encode(left / 2 + 0.5).to(self.dtype)
        mask = shrunk(free(conditions["mask"]), self.latent_shape[-1]).to(self.dtype)
        source = dataclasses.replace(ready["source"], maps=(*ready["source"].maps, latents))
        return {"source": source, "mask": dataclasses.replace(ready["mask"], maps=(mask,))}

    def constraint(self, conditions: Conditions) -> None:
        """The network was trained to keep what it sees."""

    def seen(self, x_t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:  # noqa: ARG002
        """x_t, mask and what is left [B, C + 1 + C, h, w]; a row without a mask is free everywhere."""
        source, mask = conditions["source"], conditions["mask"]
        rows = (source.present & mask.present)[:, None, None, None]
        everywhere = torch.where(rows, mask.maps[0], torch.ones_like(mask.maps[0]))
        return torch.cat([x_t, everywhere, source.maps[1] * rows], 1)
