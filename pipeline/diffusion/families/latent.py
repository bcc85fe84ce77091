"""What all families share: pictures as latents of an autoencoder, prompts with what stands in their place, sketches.

A row whose prompt is dropped or missing sees the negative one (or the checkpoint's own nothing) in its place; a row
whose sketch is, sees none of what the adapters say. So any subset of text and sketch can be asked for.
"""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import diffusers
import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.conditions.pixels import latent_scale, side
from pipeline.diffusion.editing import Editing
from pipeline.diffusion.families.adapters import Adapters
from pipeline.lora import fuse
from pipeline.models import checkpoint
from pipeline.models.files import Files
from pipeline.models.fusion import Keep
from pipeline.settings import SettingsError


class Latent(Editing):
    """A checkpoint's denoiser, autoencoder and noise schedule."""

    part: ClassVar[str]  # of the folder, that holds the denoiser
    network_class: ClassVar[type]

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        self.device, self.dtype, self.options = device, dtype, options
        load = functools.partial(checkpoint.load_part, trust_pickle=files.trust_pickle)
        self.network: Any = load(files.folder / self.part, self.network_class)
        for lora, scale in files.loras:
            if not fuse(options["pipeline"], self.part, self.network, lora, scale):
                raise SettingsError(f"model.loras: {lora} holds nothing for the model's {self.part}")
        self.network = self.network.to(device, dtype).eval().requires_grad_(False)
        vae = load(files.vae or files.folder / "vae", diffusers.AutoModel)
        self.vae: Any = vae.to(device).float().eval().requires_grad_(False)
        self.scheduler_config = checkpoint.scheduler_config(files.folder)
        self.side = side(files.folder, options)
        size = self.side // latent_scale(files.folder)
        self.latent_shape = (int(self.vae.config.latent_channels), size, size)
        self.adapters = Adapters.load(files, load, device, dtype)

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """What adapters make of the sketches and the autoencoder of what is edited, once per batch."""
        ready = {m: c.to(self.device, self.dtype) for m, c in conditions.items()}
        ready |= self.prepare_edit(ready)
        if "sketch" in ready:
            ready["sketch"] = self.adapters.prepare(ready["sketch"], self.hint)
        return ready

    def hint(self, pictures: Tensor, network: Any) -> Tensor:  # noqa: ARG002
        """A picture of lines [B, 3, S, S] in [0, 1] as a ControlNet takes it: as it is."""
        return pictures

    def words(self, conditions: Conditions, keep: Keep) -> tuple[Tensor, Tensor]:
        """(tokens [B, L, D], pooled [B, E]) that each row may see."""
        text, negative = conditions["text"], conditions["negative"]
        seen = text.present & keep["text"]
        tokens = torch.where(seen[:, None, None], text.tokens, negative.tokens)
        return tokens, torch.where(seen[:, None], text.pooled, negative.pooled)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents [B, C, h, w] of pictures [B, 3, S, S] in [0, 1]."""
        latents = self.vae.encode(pictures.float() * 2 - 1)
        mode = latents.latent_dist.mode() if hasattr(latents, "latent_dist") else latents.latents
        return (mode - self.shift) * self.vae.config.scaling_factor

    def decode(self, x_0: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] in [0, 1]."""
        latents = x_0.float() / self.vae.config.scaling_factor + self.shift
        return (self.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)

    @property
    def shift(self) -> float:
        """Mean of the autoencoder's latents."""
        return float(self.vae.config.get("shift_factor") or 0.0)
