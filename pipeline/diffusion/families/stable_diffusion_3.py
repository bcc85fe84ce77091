"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): a transformer over latents and tokens, trained by flow matching."""

from typing import Any

import diffusers
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.families.adapters import Residuals
from pipeline.diffusion.families.latent import Latent
from pipeline.diffusion.families.timing import set_flow_timesteps
from pipeline.models.fusion import Keep


class StableDiffusion3(Latent):
    """`StableDiffusion3Pipeline` and what ControlNets make of it."""

    part, network_class = "transformer", diffusers.SD3Transformer2DModel

    def set_timesteps(self, scheduler: Any, steps: int) -> None:
        """Shifted by the number of patches, where the schedule asks for that."""
        set_flow_timesteps(scheduler, steps, (self.latent_shape[-1] // int(self.network.config.patch_size)) ** 2)

    def hint(self, pictures: Tensor, network: Any) -> Tensor:
        """ControlNets see latents, those that look away from the pooled prompt see them without the shift."""
        shifted = not network.config.force_zeros_for_pooled_projection
        return self.encode(pictures) if shifted else self.encode(pictures) + self.shift * self.vae.config.scaling_factor

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Velocity eps - x_0, in float32."""
        tokens, pooled = self.words(conditions, keep)
        x = x_t.to(self.dtype)
        given = {"hidden_states": x, "timestep": t, "encoder_hidden_states": tokens, "return_dict": False}

        def ask(network: Any, hint: Tensor, scale: float) -> tuple[Residuals]:
            own = {**given, "encoder_hidden_states": None} if network.config.joint_attention_dim is None else given
            vector = pooled * (not network.config.force_zeros_for_pooled_projection)
            [blocks] = network(pooled_projections=vector, controlnet_cond=hint, conditioning_scale=scale, **own)
            return (list(blocks),)

        blocks = self.adapters.controls(conditions, keep, ask)[0]
        found = self.network(pooled_projections=pooled, block_controlnet_hidden_states=blocks, **given)
        return found[0].float()
