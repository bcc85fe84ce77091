"""What a published denoiser is to predict, and at which noise it is asked: as its own scheduler says.

Diffusion: x_t = a x_0 + s eps at evenly drawn t; eps, v = a eps - s x_0 (Salimans & Ho 2022) or x_0. With `gamma`, rows
weigh min(SNR, gamma) of an error of x_0 (Hang et al. 2023), which is min(1, gamma / SNR) of one of eps and
min(SNR, gamma) / (SNR + 1) of one of v.

Flow: x_t = (1 - s) x_0 + s eps, the velocity eps - x_0, at logit-normal positions (Esser et al. 2024) in the steps that
the backend lays out, so that they are shifted in training as they are in sampling.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.diffusion.sampler import Denoiser
from pipeline.diffusion.schedulers import FLOW, make_scheduler, prediction_type

FLOW_STEPS = 1000  # in which a flow is cut for training


@dataclasses.dataclass(frozen=True)
class Noised:
    """B rows with noise on them, and what is to be said of them."""

    x_t: Tensor  # [B, C, h, w]
    t: Tensor  # [B] as the network takes it
    target: Tensor  # [B, C, h, w]
    weight: Tensor  # [B]

    def error(self, prediction: Tensor) -> Tensor:
        """Weighted mean squared error of a prediction [B, C, h, w]."""
        each = (prediction.float() - self.target).square().flatten(1).mean(1)
        return (self.weight * each).mean()


class Objective(Protocol):
    """Noise for latents, and what the network is to make of it."""

    def draw(self, x_0: Tensor, generator: torch.Generator) -> Noised:
        """Of latents [B, C, h, w]; the generator is of the CPU, so that draws are the same on every device."""


class Diffusion:
    """Of a noise schedule alpha_bar, given as a scheduler's configuration."""

    def __init__(self, config: Mapping[str, Any], gamma: float | None = None) -> None:
        self.alpha_bar: Tensor = make_scheduler("ddpm", dict(config)).alphas_cumprod
        self.kind, self.gamma = prediction_type(config), gamma

    def draw(self, x_0: Tensor, generator: torch.Generator) -> Noised:
        """At timesteps drawn evenly."""
        t = torch.randint(len(self.alpha_bar), (len(x_0),), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        alpha_bar = self.alpha_bar[t].to(x_0)
        a, s = (x.sqrt().view(-1, 1, 1, 1) for x in (alpha_bar, 1 - alpha_bar))
        target = {"epsilon": eps, "v_prediction": a * eps - s * x_0, "sample": x_0}[self.kind]
        return Noised(a * x_0 + s * eps, t.to(x_0.device), target, self.weight(alpha_bar))

    def weight(self, alpha_bar: Tensor) -> Tensor:
        """What the error of a row counts, by its alpha_bar [B]."""
        if self.gamma is None:
            return torch.ones_like(alpha_bar)
        snr = alpha_bar / (1 - alpha_bar)
        if self.kind == "epsilon":
            return (self.gamma / snr).clamp(max=1)
        return snr.clamp(max=self.gamma) / (snr + 1 if self.kind == "v_prediction" else 1)


class Flow:
    """Of a backend that was trained by flow matching; `mean` and `std` of the logits of positions, 1 for all noise."""

    def __init__(self, backend: Denoiser, mean: float = 0.0, std: float = 1.0) -> None:
        scheduler = make_scheduler("euler", backend.scheduler_config)
        backend.set_timesteps(scheduler, FLOW_STEPS)
        self.sigmas, self.t = (x[:FLOW_STEPS].flip(0) for x in (scheduler.sigmas, scheduler.timesteps))
        self.mean, self.std = mean, std

    def draw(self, x_0: Tensor, generator: torch.Generator) -> Noised:
        """At positions drawn logit-normally."""
        position = torch.sigmoid(self.mean + self.std * torch.randn(len(x_0), generator=generator))
        index = (position * FLOW_STEPS).long().clamp(max=FLOW_STEPS - 1)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        s = self.sigmas[index].to(x_0).view(-1, 1, 1, 1)
        return Noised((1 - s) * x_0 + s * eps, self.t[index].to(x_0), eps - x_0, torch.ones(len(x_0)).to(x_0))


def objective(backend: Denoiser, options: Mapping[str, Any]) -> Objective:
    """The backend's own; options `min_snr_gamma` of a diffusion, `logit_mean` and `logit_std` of a flow."""
    if prediction_type(backend.scheduler_config) == FLOW:
        return Flow(backend, float(options["logit_mean"]), float(options["logit_std"]))
    return Diffusion(backend.scheduler_config, options["min_snr_gamma"])
