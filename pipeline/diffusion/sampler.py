"""The one sampling loop, over any diffusers scheduler.

x_T ~ N(0, I) -> x_0, branches of guidance stacked on the batch axis, one forward a step.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.constraint import Constraint, constrained
from pipeline.diffusion.guidance import Branches, everything
from pipeline.diffusion.noise import initial_noise
from pipeline.models.fusion import Keep


class Denoiser(Protocol):
    """Any network behind one signature. A new family of checkpoints is one class like this."""

    latent_shape: tuple[int, ...]
    scheduler_config: dict[str, Any]

    def prepare(self, conditions: Conditions) -> Conditions:
        """Work on conditions that does not depend on x_t or t, done once before the loop."""

    def constraint(self, conditions: Conditions) -> Constraint | None:
        """What the results have to keep, by conditions that have been prepared; None: nothing."""

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Prediction [B, ...] at x_t [B, ...], t [B]; row b sees modality m where keep[m][b] and it is present."""

    def decode(self, x_0: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1], or whatever the task's result is, of x_0 [B, *latent_shape]."""


@dataclasses.dataclass(frozen=True)
class Guide:
    """Guidance of one batch: its branches, and the sigma interval in which they act (None: everywhere)."""

    branches: Branches
    interval: tuple[float, float] | None = None

    def at(self, sigma: float, modalities: Sequence[str]) -> Branches:
        """The branches of a step."""
        if self.interval is None or self.interval[0] <= sigma <= self.interval[1]:
            return self.branches
        return everything(modalities, self.branches.weights.shape[1])


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What the loop returns."""

    x_0: Tensor  # [B, *latent_shape]
    forwards: int  # rows that went through the network: sum over steps of K * B


def sigma_of(scheduler: Any, index: int) -> float:
    """Noise level sigma = sqrt((1 - alpha_bar) / alpha_bar) of step `index` (Karras et al. 2022, the VE form)."""
    if hasattr(scheduler, "sigmas"):
        return float(scheduler.sigmas[index])
    alpha_bar = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    conditions: Conditions,
    generators: Sequence[torch.Generator],
    scheduler: Any,
    steps: int,
    guide: Guide,
) -> Sampled:
    """Draw x_0 for B rows, row b's randomness from generators[b] alone."""
    scheduler.set_timesteps(steps)
    rows = len(generators)
    ready = denoiser.prepare(conditions)
    constrain, kind = denoiser.constraint(ready), scheduler.config.prediction_type
    modalities = tuple(ready)
    device = ready[modalities[0]].present.device
    x_t = initial_noise(generators, denoiser.latent_shape).to(device) * scheduler.init_noise_sigma
    stochastic = {"generator": list(generators)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    forwards, stacked = 0, _Stacks(ready)
    for index, t in enumerate(scheduler.timesteps):
        sigma = sigma_of(scheduler, index)
        active = guide.at(sigma, modalities)
        count = len(active.subsets)
        x = scheduler.scale_model_input(x_t, t)
        x_in = x.repeat(count, *[1] * (x_t.dim() - 1))  # [K * B, ...]
        eps = denoiser.denoise(x_in, t.to(device).expand(count * rows), *stacked.of(active, rows))
        eps = active.combine(sigma, eps.unflatten(0, (count, rows)))  # [K, B, ...] -> [B, ...]
        if constrain:
            eps = constrained(constrain, eps, x, sigma, kind)
        x_t = scheduler.step(eps, t, x_t, **stochastic).prev_sample
        forwards += count * rows
    return Sampled(x_t, forwards)


class _Stacks:
    """Conditions and keep masks of the stacked batch, built once for each set of branches."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.built: dict[tuple[frozenset[str], ...], tuple[Conditions, Keep]] = {}

    def of(self, branches: Branches, rows: int) -> tuple[Conditions, Keep]:
        """(conditions [K * B], keep [K * B] of every modality) of these branches."""
        if branches.subsets not in self.built:
            count = len(branches.subsets)
            stacked = {m: c.repeat(count) for m, c in self.conditions.items()}
            keep = {
                m: torch.tensor([m in s for s in branches.subsets], device=c.present.device).repeat_interleave(rows)
                for m, c in self.conditions.items()
            }
            self.built[branches.subsets] = (stacked, keep)
        return self.built[branches.subsets]
