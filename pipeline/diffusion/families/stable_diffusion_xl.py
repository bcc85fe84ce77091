"""Stable Diffusion XL (Podell et al. 2023): a UNet that also takes a pooled prompt and the size of the picture."""

from torch import Tensor

from pipeline.diffusion.families.stable_diffusion import StableDiffusion


class StableDiffusionXL(StableDiffusion):
    """`StableDiffusionXLPipeline` and what adapters make of it."""

    def added(self, pooled: Tensor) -> dict[str, Tensor]:
        """The pooled prompt [B, E] and (height, width, crop top, left, height, width) [B, 6]."""
        side = float(self.side)
        sizes = pooled.new_tensor([side, side, 0, 0, side, side]).expand(len(pooled), -1)
        return {"text_embeds": pooled, "time_ids": sizes}
