"""The sampling loop against closed forms: data drawn from N(mean, STD^2) has an exact denoiser and an exact ODE."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion import guidance
from pipeline.diffusion.guidance import Branches
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.diffusion.sampler import Denoiser, Guide, sample, sigma_of
from pipeline.diffusion.schedulers import SCHEDULERS, make_scheduler
from pipeline.diffusion.schemes import subsets
from pipeline.models.fusion import Keep
from pipeline.settings import SettingsError
from pipeline.train.denoising import noise_schedule

STD = 0.5
MEANS = {"text": 2.0, "sketch": -1.0}
CONFIG = dict(noise_schedule().config)
SHAPE = (3, 4, 4)


def evidence(rows: int, present: bool = True) -> Condition:
    return Condition(
        tokens=torch.zeros(rows, 1, 1),
        mask=torch.ones(rows, 1, dtype=torch.bool),
        pooled=torch.zeros(rows, 1),
        maps=(),
        present=torch.full((rows,), present),
    )


@dataclasses.dataclass
class Gaussian(Denoiser):
    """The exact v-prediction where data is N(sum of the means of the seen modalities, STD^2)."""

    latent_shape: tuple[int, ...] = SHAPE
    scheduler_config: dict[str, Any] = dataclasses.field(default_factory=lambda: CONFIG)
    calls: list[int] = dataclasses.field(default_factory=list)
    prepared: int = 0

    def prepare(self, conditions: Conditions) -> Conditions:
        self.prepared += 1
        return conditions

    def mean(self, conditions: Conditions, keep: Keep) -> Tensor:
        return torch.stack([MEANS[m] * (c.present & keep[m]) for m, c in conditions.items()]).sum(0)

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        self.calls.append(len(x_t))
        alpha_bar = interpolated(noise_schedule().alphas_cumprod, t).view(-1, 1, 1, 1)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        mean = self.mean(conditions, keep).view(-1, 1, 1, 1)
        x_0 = mean + a * STD**2 / (a**2 * STD**2 + s**2) * (x_t - a * mean)
        return a * (x_t - a * x_0) / s - s * x_0

    def decode(self, x_0: Tensor) -> Tensor:
        return x_0


def interpolated(table: Tensor, t: Tensor) -> Tensor:
    """alpha_bar at fractional timesteps, as Euler-like schedulers ask for them."""
    low = t.floor().long().clamp(0, len(table) - 1)
    high = (low + 1).clamp(max=len(table) - 1)
    return torch.lerp(table[low].double(), table[high].double(), (t - low).double()).to(torch.float32)


def draw(
    name: str, steps: int, rows: int = 8, weights: dict[str, float] | None = None, **kept: Any
) -> tuple[Any, Gaussian]:
    weights = weights or {"text": 1.0, "sketch": 1.0, "all": 1.0}
    scheme = kept.pop("scheme", "none")
    conditions = {m: evidence(rows) for m in MEANS}
    branches = guidance.branches(scheme, tuple(MEANS), subsets(scheme, tuple(MEANS), [weights]), [weights] * rows)
    denoiser = Gaussian()
    made = sample(
        denoiser,
        conditions,
        generators(range(rows)),
        make_scheduler(name, CONFIG),
        steps,
        Guide(branches, kept.pop("interval", None)),
    )
    return made, denoiser


def exact(rows: int = 8, mean: float = 1.0) -> Tensor:
    """Where the probability-flow ODE takes x_T: it maps N to N, so it only shifts and scales."""
    alpha_bar = noise_schedule().alphas_cumprod[-1]
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    x_T = initial_noise(generators(range(rows)), SHAPE)
    return mean + STD * (x_T - a * mean) / (a**2 * STD**2 + s**2).sqrt()


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc", "heun", "euler"])
def test_deterministic_schedulers_solve_the_ode(name: str) -> None:
    made, _ = draw(name, steps=200)
    assert (made.values - exact()).abs().max() < 0.05


def test_the_second_order_solver_converges_faster_than_the_first() -> None:
    def error(name: str, steps: int) -> float:
        return float((draw(name, steps)[0].values - exact()).abs().mean())

    assert error("dpmpp_2m", 20) < error("ddim", 20) / 2
    # First order: five times the steps, a fifth of the error (diffusers' DDIM wants steps that divide 1,000).
    assert error("ddim", 100) == pytest.approx(error("ddim", 20) / 5, rel=0.3)


@pytest.mark.parametrize("name", ["ddpm", "euler_a", "dpmpp_2m_sde"])
def test_stochastic_schedulers_reach_the_distribution(name: str) -> None:
    made, _ = draw(name, steps=100, rows=256)
    assert made.values.mean() == pytest.approx(sum(MEANS.values()), abs=0.03)
    assert made.values.std() == pytest.approx(STD, abs=0.05)


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_a_row_depends_on_its_seed_alone(name: str) -> None:
    whole, _ = draw(name, steps=6, rows=4)
    denoiser = Gaussian()
    order = [2, 0, 3, 1]
    conditions = {m: evidence(4) for m in MEANS}
    branches = guidance.everything(tuple(MEANS), 4)
    shuffled = sample(denoiser, conditions, generators(order), make_scheduler(name, CONFIG), 6, Guide(branches))
    assert torch.equal(shuffled.values, whole.values[order])


def test_composed_guidance_of_gaussians_is_what_its_formula_says() -> None:
    # eps is affine in the mean, so weights w over means m give the ODE of mean  sum_k w_k m_k.
    weights = {"text": 1.7, "sketch": 0.6}
    made, _ = draw("dpmpp_2m", steps=200, scheme="composed", weights=weights)
    assert (made.values - exact(mean=1.7 * MEANS["text"] + 0.6 * MEANS["sketch"])).abs().max() < 0.05


def test_weights_are_per_row() -> None:
    rows = [{"text": 1.0, "sketch": 0.0}, {"text": 0.0, "sketch": 1.0}, {"text": 2.0, "sketch": 1.0}]
    branches = guidance.branches("composed", tuple(MEANS), subsets("composed", tuple(MEANS), rows), rows)
    conditions = {m: evidence(3) for m in MEANS}
    made = sample(
        Gaussian(), conditions, generators(range(3)), make_scheduler("dpmpp_2m", CONFIG), 200, Guide(branches)
    )
    for row, w in enumerate(rows):
        mean = sum(w[m] * MEANS[m] for m in MEANS)
        assert (made.values[row] - exact(3, mean)[row]).abs().max() < 0.06


def test_a_missing_modality_is_its_null_in_every_branch() -> None:
    branches = guidance.branches("composed", tuple(MEANS), subsets("composed", tuple(MEANS), [W]), [W] * 2)
    conditions = {"text": evidence(2), "sketch": evidence(2, present=False)}
    made = sample(
        Gaussian(), conditions, generators(range(2)), make_scheduler("dpmpp_2m", CONFIG), 200, Guide(branches)
    )
    assert (made.values - exact(2, W["text"] * MEANS["text"])).abs().max() < 0.05


W = {"text": 2.0, "sketch": 3.0}


@pytest.mark.parametrize(
    ("scheme", "weights", "branches"),
    [
        ("none", {"text": 2.0, "sketch": 2.0}, 1),
        ("single", {"all": 3.0}, 2),
        ("single", {"all": 1.0}, 1),
        ("composed", {"text": 2.0, "sketch": 2.0}, 3),
        ("composed", {"text": 2.0, "sketch": 0.0}, 2),
        ("chained", {"text": 2.0, "sketch": 3.0}, 3),
    ],
)
def test_forwards_are_steps_times_needed_branches(scheme: str, weights: dict[str, float], branches: int) -> None:
    made, denoiser = draw("dpmpp_2m", steps=10, rows=4, scheme=scheme, weights=weights)
    assert denoiser.calls == [4 * branches] * 10
    assert made.forwards == sum(denoiser.calls)
    assert denoiser.prepared == 1


def test_outside_the_interval_one_branch_runs() -> None:
    scheduler = make_scheduler("dpmpp_2m", CONFIG)
    scheduler.set_timesteps(20)
    inside = [0.5 <= sigma_of(scheduler, i) <= 5.0 for i in range(20)]
    assert 0 < sum(inside) < 20
    made, denoiser = draw("dpmpp_2m", 20, rows=2, scheme="composed", weights=W, interval=(0.5, 5.0))
    assert denoiser.calls == [2 * 3 if guided else 2 for guided in inside]
    assert made.forwards == 2 * (20 + 2 * sum(inside))


def test_sigma_does_not_depend_on_the_scheduler() -> None:
    ddim, solver = make_scheduler("ddim", CONFIG), make_scheduler("dpmpp_2m", CONFIG)
    ddim.set_timesteps(10)
    solver.set_timesteps(10)
    assert [sigma_of(ddim, i) for i in range(10)] == pytest.approx([sigma_of(solver, i) for i in range(10)], rel=1e-3)


def test_dynamic_schemes_see_sigma_and_predictions() -> None:
    def halve(sigma: float, eps: Tensor, w: Tensor, subsets: Sequence[frozenset[str]]) -> Tensor:
        assert sigma == 3.0
        assert list(subsets) == [frozenset(), frozenset("a")]
        assert eps.shape == (2, 1, 5)
        return w / 2

    branches = Branches((frozenset(), frozenset("a")), torch.tensor([[0.5], [0.5]]), halve)
    assert torch.equal(branches.combine(3.0, torch.ones(2, 1, 5)), torch.full((1, 5), 0.5))


def test_unknown_schedulers_are_refused_and_class_names_work() -> None:
    assert type(make_scheduler("PNDMScheduler", CONFIG)).__name__ == "PNDMScheduler"
    for wrong in ("dpmp", "UNet2DModel", "NoSuchScheduler"):
        with pytest.raises(SettingsError, match=f"unknown scheduler={wrong}"):
            make_scheduler(wrong, CONFIG)


@pytest.mark.parametrize("name", ["IPNDMScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_schedulers_that_cannot_follow_the_model_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot sample from a model that predicts v_prediction"):
        make_scheduler(name, dict(noise_schedule().config))
