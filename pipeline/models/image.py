"""The sketch-to-image denoiser: a diffusers UNet in the latent space of a small autoencoder.

Text reaches it as fused tokens through cross-attention, the sketch as T2I-Adapter features (Mou et al. 2023)
added to the down blocks. Pictures are [B, 3, S, S] in [0, 1]; latents are [B, C, S/4, S/4].
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny, T2IAdapter, UNet2DConditionModel
from torch import Tensor, nn

from pipeline.conditions import Condition, Conditions
from pipeline.models import checkpoint
from pipeline.models.fusion import Fusion, Keep


class SketchToImage(nn.Module):
    """UNet, adapter and fusion as one trainable network."""

    def __init__(self, unet: UNet2DConditionModel, adapter: T2IAdapter, fusion: Fusion) -> None:
        super().__init__()
        self.unet, self.adapter, self.fusion = unet, adapter, fusion

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """Conditions with the sketch's pixels [B, 1, S, S] replaced by the adapter's features, once per batch."""
        sketch = conditions["sketch"]
        return {**conditions, "sketch": dataclasses.replace(sketch, maps=tuple(self.adapter(sketch.maps[0])))}

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Prediction [B, C, h, w] at x_t [B, C, h, w] and timesteps t [B], of what the scheduler expects."""
        tokens, mask, maps = self.fusion(conditions, keep, t)
        return self.unet(
            x_t,
            t,
            encoder_hidden_states=tokens,
            encoder_attention_mask=mask,
            down_intrablock_additional_residuals=list(maps),
        ).sample

    def forward(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """`denoise` of conditions that have not been prepared: one training step."""
        return self.denoise(x_t, t, self.prepare(conditions), keep)


def encode(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Latents [B, C, S/4, S/4], scaled to unit variance, of pictures [B, 3, S, S] in [0, 1]."""
    return vae.encode(pictures * 2 - 1).latents * vae.config.scaling_factor


def decode(vae: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Pictures [B, 3, S, S] in [0, 1] of scaled latents [B, C, S/4, S/4]."""
    return (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


def load(folder: Path) -> SketchToImage:
    """The network of a generator folder. Raises SettingsError that names what is missing or does not fit."""
    parts = {"unet": UNet2DConditionModel, "adapter": T2IAdapter, "fusion": Fusion}
    return SketchToImage(**{name: checkpoint.load_part(folder / name, cls) for name, cls in parts.items()})


def build(
    image_size: int,
    latent_channels: int,
    widths: Mapping[str, Mapping[str, int]],
    channels: tuple[int, ...],
    fusion: Mapping[str, Any],
) -> SketchToImage:
    """A fresh network. `widths` are sizes of the evidence by modality: "tokens" and "pooled"; `channels` those of the
    UNet's levels; `fusion` how the modalities are joined (models/fusion.py: join, hidden)."""
    dim = max(channels)
    deep = len(channels) - 1
    unet = UNet2DConditionModel(
        sample_size=image_size // 4,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * deep + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deep,
        only_cross_attention=[i == 0 for i in range(len(channels))],  # self-attention over 16 x 16 costs most of a step
        cross_attention_dim=dim,
        norm_num_groups=16,
        attention_head_dim=4,  # diffusers reads this as the number of heads
    )
    adapter = T2IAdapter(in_channels=1, channels=list(channels), num_res_blocks=2, downscale_factor=4)
    fused = Fusion(
        tokens={modality: own["tokens"] for modality, own in widths.items()},
        pooled={modality: own["pooled"] for modality, own in widths.items()},
        maps={"sketch": list(channels)},
        dim=dim,
        **fusion,
    )
    return SketchToImage(unet, adapter, fused)
