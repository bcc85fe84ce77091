"""Flux.1 (Black Forest Labs 2024): a transformer over 2 x 2 patches of latents and a T5's tokens, by flow matching.

Its dev checkpoint takes the scale of a guidance that was distilled into it: the option `distilled_guidance`.
"""

from typing import Any

import diffusers
import torch
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.families.adapters import Residuals
from pipeline.diffusion.families.latent import Latent
from pipeline.diffusion.families.timing import set_flow_timesteps
from pipeline.models.fusion import Keep


class Flux(Latent):
    """`FluxPipeline` and what ControlNets make of it."""

    part, network_class = "transformer", diffusers.FluxTransformer2DModel

    def set_timesteps(self, scheduler: Any, steps: int) -> None:
        """Shifted by the number of patches."""
        set_flow_timesteps(scheduler, steps, (self.latent_shape[-1] // 2) ** 2, sigmas=True)

    def hint(self, pictures: Tensor, network: Any) -> Tensor:  # noqa: ARG002
        """ControlNets see latents, as patches."""
        return pack(self.encode(pictures))

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Velocity eps - x_0, in float32."""
        tokens, pooled = self.words(conditions, keep)
        patches = self.latent_shape[-1] // 2
        given = {
            "hidden_states": pack(x_t).to(self.dtype),
            "timestep": t.to(self.dtype) / 1000,
            "txt_ids": tokens.new_zeros(tokens.shape[1], 3),
            "img_ids": places(patches).to(tokens),
            "return_dict": False,
        }

        def ask(network: Any, hint: Tensor, scale: float) -> tuple[Residuals, Residuals]:
            # As in diffusers, a ControlNet reads the prompt in every branch.
            words = {
                "encoder_hidden_states": conditions["text"].tokens,
                "pooled_projections": conditions["text"].pooled,
            }
            guidance = self._guidance(network, len(x_t))
            blocks, single = network(
                controlnet_cond=hint, conditioning_scale=scale, guidance=guidance, **words, **given
            )
            return list(blocks or ()), list(single or ())

        blocks, single = self.adapters.controls(conditions, keep, ask)
        found = self.network(
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            guidance=self._guidance(self.network, len(x_t)),
            controlnet_block_samples=blocks or None,
            controlnet_single_block_samples=single or None,
            **given,
        )
        return unpack(found[0].float(), patches)

    def _guidance(self, network: Any, rows: int) -> Tensor | None:
        """The distilled guidance of each row [B], if the network knows one."""
        scale = float(self.options["distilled_guidance"])
        return (
            torch.full((rows,), scale, device=self.device, dtype=self.dtype) if network.config.guidance_embeds else None
        )


def pack(latents: Tensor) -> Tensor:
    """Latents [B, C, h, w] as 2 x 2 patches [B, h/2 * w/2, 4 C]."""
    rows, channels, h, w = latents.shape
    split = latents.view(rows, channels, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return split.reshape(rows, (h // 2) * (w // 2), channels * 4)


def unpack(patches: Tensor, side: int) -> Tensor:
    """Patches [B, side * side, 4 C] as latents [B, C, 2 side, 2 side]."""
    rows, _, width = patches.shape
    split = patches.view(rows, side, side, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return split.reshape(rows, width // 4, 2 * side, 2 * side)


def places(side: int) -> Tensor:
    """(0, row, column) of each patch [side * side, 3]."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).float()
