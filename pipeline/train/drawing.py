"""Results of a network that is in training, through the one sampling loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.guidance import everything
from pipeline.diffusion.noise import generators
from pipeline.diffusion.sampler import Denoiser, Guide, sample
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.media import Pixels
from pipeline.models.fusion import Keep

SCHEDULER = "ddim"


class Training(Denoiser):
    """A network that is called by its forward alone, as FSDP asks: x_t, t, conditions, keep -> prediction."""

    def __init__(
        self, network: Callable[..., Tensor], latent_shape: Sequence[int], scheduler_config: Mapping[str, Any]
    ) -> None:
        self.network, self.latent_shape = network, tuple(latent_shape)
        self.scheduler_config = dict(scheduler_config)

    def prepare(self, conditions: Conditions) -> Conditions:
        """Nothing is done ahead."""
        return conditions

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """The network's prediction."""
        return self.network(x_t, t, conditions, keep).float()

    def decode(self, x_0: Tensor) -> Tensor:
        """As it is."""
        return x_0


def draw(denoiser: Training, conditions: Conditions, steps: int, scheduler: str = SCHEDULER) -> Tensor:
    """x_0 [B, *latent_shape] by all conditions and no more guidance, row b from the noise of seed b."""
    modalities = tuple(conditions)
    rows = len(conditions[modalities[0]].present)
    made = make_scheduler(scheduler, denoiser.scheduler_config)
    guide = Guide(everything(modalities, rows))
    with torch.random.fork_rng():
        return sample(denoiser, conditions, generators(range(rows)), made, steps, guide).values


def grid(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    """Pictures [H, W, 3] or [H, W] of one size, in rows of one length, as one picture."""
    return np.concatenate([np.concatenate([_coloured(p) for p in row], 1) for row in rows])


def _coloured(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
