"""stage=autoencode: a tiny autoencoder (TAESD's layout, AutoencoderTiny), 64 px -> 16 x 16 latents.

Loss: mean absolute error of the pixels and of their horizontal and vertical differences, which keeps thin
lines sharp without an adversary, plus a pull of each latent channel towards zero mean and unit variance,
which is what the denoiser's noise schedule expects.

Options: `channels` of the convolutions, `latent_channels`, `blocks` per level.
"""

import functools
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from pipeline.train.data import Batch, augment, pictures, to_tensors
from pipeline.train.settings import Train

DIFFERENCES, MOMENTS = 0.5, 0.1  # weights of the loss terms beside the pixels'


class Reconstruction(nn.Module):
    """An autoencoder whose forward is one training step."""

    def __init__(self, vae: AutoencoderTiny) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction [B, 3, S, S], latents [B, C, S/4, S/4]) of pictures in [-1, 1]."""
        latents = self.vae.encode(pictures).latents
        return self.vae.decode(latents).sample, latents


class Autoencoding:
    """Stage (train/stage.py) of stage=autoencode."""

    reader = staticmethod(functools.partial(pictures, needed=("image",)))

    def __init__(self, network: Reconstruction, device: str = "cpu") -> None:
        self.network: nn.Module = network
        self.device = device
        self.stds: list[float] = []  # of the latents of the batches validated since the last save

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """Two halvings: the first level keeps the size."""
        options = settings.stage.options
        vae = AutoencoderTiny(
            encoder_block_out_channels=(options["channels"],) * 3,
            decoder_block_out_channels=(options["channels"],) * 3,
            num_encoder_blocks=(1, *(options["blocks"],) * 2),
            num_decoder_blocks=(*(options["blocks"],) * 2, 1),
            latent_channels=options["latent_channels"],
            scaling_factor=1.0,
        )
        return cls(Reconstruction(vae).to(memory_format=torch.channels_last), device)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Pixels, differences and moments."""
        image, _ = to_tensors(batch, self.device)
        pictures = augment(image, generator, torch.ones(len(image), dtype=torch.bool)) * 2 - 1
        output, latents = network(pictures.contiguous(memory_format=torch.channels_last))
        error, z = output.float() - pictures, latents.float()
        moments = z.mean((0, 2, 3)).square().mean() + (z.std((0, 2, 3)) - 1).square().mean()
        return error.abs().mean() + DIFFERENCES * differences(error) + MOMENTS * moments

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Peak signal-to-noise ratio in dB, averaged over pictures."""
        image, _ = to_tensors(batch, self.device)
        output, latents = network(image * 2 - 1)
        mse = (output.clamp(-1, 1) / 2 + 0.5 - image).square().mean((1, 2, 3))
        self.stds.append(float(latents.std()))
        return {"psnr": float((-10 * mse.log10()).mean()), "latent_std": self.stds[-1]}

    def save(self, network: nn.Module, folder: Path) -> None:
        """A diffusers folder whose scaling_factor brings latents to unit variance."""
        vae: Any = network.vae
        vae.register_to_config(scaling_factor=1 / float(np.mean(self.stds or [1.0])))
        vae.save_pretrained(folder)
        self.stds.clear()


def differences(error: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels of [B, C, H, W], both directions added."""
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
