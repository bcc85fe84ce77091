"""The one sampling loop, over any diffusers scheduler, and the signature of what it calls.

x_T ~ N(0, I) -> x_0, branches of guidance stacked on the batch axis, one forward a step.
"""

import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.conditions import Conditions
from pipeline.diffusion.constraint import Constraint, constrained
from pipeline.diffusion.guidance import Branches, everything
from pipeline.diffusion.noise import initial_noise
from pipeline.diffusion.schedulers import FLOW, prediction_type
from pipeline.models.fusion import Keep


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
class Start:
    """Where a loop sets out from when something is edited (SDEdit, Meng et al. 2022): x_0 with noise on it."""

    x_0: Tensor  # [B, *latent_shape]
    strength: float  # share of the steps that are done, in (0, 1]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a batch became."""

    values: Tensor  # [B, ...] x_0, or what was decoded of it
    forwards: int  # rows that went through the network: sum over steps of K * B


class Backend(Protocol):
    """What makes results of conditions; named in a task's `backend`."""

    scheduler_config: dict[str, Any]  # the noise schedule of the training, and the scheduler that came with it

    def draw(
        self, conditions: Conditions, generators: Sequence[torch.Generator], scheduler: Any, steps: int, guide: Guide
    ) -> Drawn:
        """B results, row b's randomness from generators[b] alone."""


class Denoiser(Backend, Protocol):
    """A backend of the one loop: any network behind one signature. A family of checkpoints is one class like this."""

    latent_shape: tuple[int, ...]

    def prepare(self, conditions: Conditions) -> Conditions:
        """Work on conditions that does not depend on x_t or t, done once before the loop."""

    def constraint(self, conditions: Conditions) -> Constraint | None:  # noqa: ARG002
        """What the results have to keep, by conditions that have been prepared; None: nothing."""
        return None

    def start(self, conditions: Conditions) -> Start | None:  # noqa: ARG002
        """Where the loop sets out from, by conditions that have been prepared; None: from noise alone."""
        return None

    def set_timesteps(self, scheduler: Any, steps: int) -> None:
        """Lay out the steps of a loop."""
        scheduler.set_timesteps(steps)

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Prediction [B, ...] at x_t [B, ...], t [B]; row b sees modality m where keep[m][b] and it is present."""

    def decode(self, x_0: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1], or whatever the task's result is, of x_0 [B, *latent_shape]."""

    def draw(
        self, conditions: Conditions, generators: Sequence[torch.Generator], scheduler: Any, steps: int, guide: Guide
    ) -> Drawn:
        """B results: the sampling loop, decoded."""
        drawn = sample(self, conditions, generators, scheduler, steps, guide)
        return Drawn(self.decode(drawn.values), drawn.forwards)


def sigma_of(scheduler: Any, index: int) -> float:
    """Noise level sigma = sqrt((1 - alpha_bar) / alpha_bar) of step `index` (Karras et al. 2022, the VE form), which
    is s / (1 - s) of a flow's x_t = (1 - s) x_0 + s eps."""
    if hasattr(scheduler, "sigmas"):
        value = float(scheduler.sigmas[index])
        if prediction_type(scheduler.config) != FLOW:
            return value
        return value / (1 - value) if value < 1 else math.inf
    alpha_bar = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


def begin(scheduler: Any, noise: Tensor, start: Start | None) -> tuple[Tensor, int]:
    """(x_t [B, ...], the step at which the loop begins) of standard normal noise [B, ...]."""
    if start is None:
        return noise * getattr(scheduler, "init_noise_sigma", 1.0), 0
    steps = scheduler.num_inference_steps
    first = (steps - min(int(steps * start.strength), steps)) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    t = scheduler.timesteps[first : first + 1]
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(start.x_0, t, noise), first
    return scheduler.add_noise(start.x_0, noise, t), first


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    conditions: Conditions,
    generators: Sequence[torch.Generator],
    scheduler: Any,
    steps: int,
    guide: Guide,
) -> Drawn:
    """Draw x_0 for B rows, row b's randomness from generators[b] alone."""
    denoiser.set_timesteps(scheduler, steps)
    rows = len(generators)
    ready = denoiser.prepare(conditions)
    constrain, kind = denoiser.constraint(ready), prediction_type(scheduler.config)
    modalities = tuple(ready)
    device = ready[modalities[0]].present.device
    noise = initial_noise(generators, denoiser.latent_shape).to(device)
    x_t, first = begin(scheduler, noise, denoiser.start(ready))
    stochastic = {"generator": list(generators)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    forwards, stacked = 0, _Stacks(ready)
    for index, t in enumerate(scheduler.timesteps[first:], first):
        sigma = sigma_of(scheduler, index)
        active = guide.at(sigma, modalities)
        count = len(active.subsets)
        x = scheduler.scale_model_input(x_t, t) if hasattr(scheduler, "scale_model_input") else x_t
        x_in = x.repeat(count, *[1] * (x_t.dim() - 1))  # [K * B, ...]
        eps = denoiser.denoise(x_in, t.to(device).expand(count * rows), *stacked.of(active, rows))
        eps = active.combine(sigma, eps.unflatten(0, (count, rows)))  # [K, B, ...] -> [B, ...]
        if constrain:
            eps = constrained(constrain, eps, x, sigma, kind)
        x_t = scheduler.step(eps, t, x_t, **stochastic).prev_sample
        forwards += count * rows
    return Drawn(x_t, forwards)


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
