"""The project's own music-and-text-to-dance generator folder behind the one signature (sampler.Denoiser)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.constraint import Constraint, keeping_frames
from pipeline.diffusion.sampler import Denoiser
from pipeline.models import checkpoint
from pipeline.models.files import Files
from pipeline.models.fusion import Fusion, Keep
from pipeline.models.motion import MotionTransformer, MusicAdapter, MusicToDance
from pipeline.motion import representation
from pipeline.motion.skeleton import FPS


class MusicToDanceBackend(Denoiser):
    """transformer, adapter, fusion, scheduler (models/motion.py). `options["seconds"]` is the length of each dance."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        folder = files.folder
        parts = {"transformer": MotionTransformer, "adapter": MusicAdapter, "fusion": Fusion}
        loaded = {name: checkpoint.load_part(folder / name, cls) for name, cls in parts.items()}
        transformer: Any = loaded["transformer"]
        exact = {name: buffer.float().to(device) for name, buffer in transformer.named_buffers()}
        self.network = MusicToDance(**loaded).to(device, dtype).eval().requires_grad_(False)
        for name, buffer in exact.items():  # what makes a dance of features, in whatever the network computes
            setattr(transformer, name, buffer)
        self.scheduler_config = checkpoint.scheduler_config(folder)
        self.latent_shape = (round(options["seconds"] * FPS), representation.WIDTH)
        self.device, self.dtype, self.options = device, dtype, options

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """The adapter's features of the music."""
        return self.network.prepare({m: c.to(self.device, self.dtype) for m, c in conditions.items()})

    def constraint(self, conditions: Conditions) -> Constraint | None:
        """Frames and joints that are given (conditions/given.py), if there are any."""
        given = conditions.get("motion")
        if given is None:
            return None
        features, mask = (m.float().transpose(1, 2) for m in given.maps)  # [B, T, width]
        known, kept = self.network.transformer.normalise(features), (mask > 0) & given.present[:, None, None]
        return keeping_frames(known, kept, round(self.options["hold"]["fade"] * FPS))

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """x_0, in float32 whatever the network computes in."""
        return self.network.denoise(x_t.to(self.dtype), t, conditions, keep).float()

    def decode(self, x_0: Tensor) -> Tensor:
        """Joint positions [B, T, 22, 3] in metres, on one skeleton."""
        return self.network.transformer.rigid(x_0.float())
