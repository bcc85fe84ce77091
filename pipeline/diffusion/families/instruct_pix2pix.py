"""InstructPix2Pix (Brooks et al. 2023): a Stable Diffusion whose UNet also sees the picture that is to be edited.

Its guidance is `chained` over [source, text]: guidance.source is the paper's s_I, guidance.text its s_T.
"""

import dataclasses

import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.families.stable_diffusion import StableDiffusion
from pipeline.diffusion.sampler import Start
from pipeline.models.fusion import Keep


class InstructPix2Pix(StableDiffusion):
    """`StableDiffusionInstructPix2PixPipeline`."""

    def prepare_edit(self, conditions: Conditions) -> dict[str, Condition]:
        """The source's latents as this UNet was trained on them: not scaled."""
        ready = super().prepare_edit(conditions)
        latents = ready["source"].maps[0] / self.vae.config.scaling_factor
        return {**ready, "source": dataclasses.replace(ready["source"], maps=(latents.to(self.dtype),))}

    def start(self, conditions: Conditions) -> Start | None:  # noqa: ARG002
        """From noise alone: the network sees the source."""
        return None

    def constraint(self, conditions: Conditions) -> None:
        """The instruction says what changes."""

    def seen(self, x_t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """x_t and the source's latents [B, 2 C, h, w], zeros in rows that may not see it."""
        source = conditions["source"]
        rows = (source.present & keep["source"])[:, None, None, None]
        return torch.cat([x_t, source.maps[0] * rows], 1)
