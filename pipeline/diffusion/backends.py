"""Checkpoints of each family behind one signature (`sampler.Denoiser`); named in a task's `backend`.

A backend is made of the model's files, a device, the precision of its network and the task's `options`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.editing import Editing
from pipeline.models import checkpoint, image
from pipeline.models.files import Files
from pipeline.models.fusion import Keep


class SketchToImageBackend(Editing):
    """The project's own generator folder: unet, adapter, fusion, vae, scheduler (models/image.py)."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        folder = files.folder
        self.network = image.load(folder).to(device, dtype).eval().requires_grad_(False)
        vae = checkpoint.load_part(folder / "vae", AutoencoderTiny)
        self.vae = vae.to(device).float().eval().requires_grad_(False)
        self.scheduler_config = checkpoint.scheduler_config(folder)
        side = int(self.network.unet.config.sample_size)
        self.latent_shape = (int(self.network.unet.config.in_channels), side, side)
        self.device, self.dtype, self.options = device, dtype, options

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """The adapter's features of the sketches, and latents of what is edited."""
        ready = {m: c.to(self.device, self.dtype) for m, c in conditions.items()}
        return {**self.network.prepare(ready), **self.prepare_edit(ready)}

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """What the scheduler expects, in float32 whatever the network computes in."""
        return self.network.denoise(x_t.to(self.dtype), t, conditions, keep).float()

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents of pictures [B, 3, S, S] in [0, 1]."""
        return image.encode(self.vae, pictures)

    def decode(self, x_0: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] in [0, 1]."""
        return image.decode(self.vae, x_0.float())
