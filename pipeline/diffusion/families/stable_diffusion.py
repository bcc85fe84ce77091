"""Stable Diffusion 1.x and 2.x (Rombach et al. 2022): a UNet that reads a prompt's tokens by cross-attention."""

from typing import Any

import diffusers
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.families.adapters import Residuals
from pipeline.diffusion.families.latent import Latent
from pipeline.models.fusion import Keep


class StableDiffusion(Latent):
    """`StableDiffusionPipeline` and what adapters make of it."""

    part, network_class = "unet", diffusers.UNet2DConditionModel

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Eps or v, as the checkpoint's scheduler says, in float32."""
        tokens, pooled = self.words(conditions, keep)
        x = x_t.to(self.dtype)
        given = {"encoder_hidden_states": tokens, "added_cond_kwargs": self.added(pooled)}

        def ask(network: Any, hint: Tensor, scale: float) -> tuple[Residuals, Residuals]:
            down, middle = network(x, t, controlnet_cond=hint, conditioning_scale=scale, return_dict=False, **given)
            return down, [middle]

        down, middle = self.adapters.controls(conditions, keep, ask)
        return self.network(
            self.seen(x, conditions, keep),
            t,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle and middle[0],
            down_intrablock_additional_residuals=self.adapters.features(conditions, keep),
            **given,
        ).sample.float()

    def added(self, pooled: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """What the network takes beside tokens."""
        return {}

    def seen(self, x_t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:  # noqa: ARG002
        """x_t with what the network sees beside it."""
        return x_t
