"""What is predicted in fine-tuning, in closed form: targets are those by which schedulers find x_0."""

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from pipeline.diffusion.families.latent import Latent
from pipeline.models.files import Files
from pipeline.train.objective import FLOW_STEPS, Diffusion, Flow, Noised, objective
from tests import parity

KINDS = ("epsilon", "v_prediction", "sample")
X_0 = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def schedule(kind: str) -> dict[str, Any]:
    """Stable Diffusion's, for what `kind` says."""
    made = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind, clip_sample=False
    )
    return {**made.config, "_class_name": "DDIMScheduler"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scheduler_finds_x_0_by_the_target(kind: str) -> None:
    noised = Diffusion(schedule(kind)).draw(X_0, seeded())
    scheduler = diffusers.DDIMScheduler.from_config(schedule(kind))
    scheduler.set_timesteps(1000)
    assert noised.t.unique().numel() > 50
    for row in range(8):
        step = scheduler.step(noised.target[row], int(noised.t[row]), noised.x_t[row])
        assert torch.allclose(step.pred_original_sample, X_0[row], atol=1e-3)
    assert noised.error(noised.target) == 0
    assert noised.error(noised.target + 2) == pytest.approx(4)


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_weighs_the_error_of_x_0(kind: str) -> None:
    gamma, config = 5.0, schedule(kind)
    made = Diffusion(config, gamma)
    noised = made.draw(X_0, seeded())
    alpha_bar = made.alpha_bar[noised.t]
    a, s = (x.sqrt().view(-1, 1, 1, 1) for x in (alpha_bar, 1 - alpha_bar))
    wrong = noised.target + torch.randn(X_0.shape, generator=seeded(2))
    found = {"epsilon": (noised.x_t - s * wrong) / a, "v_prediction": a * noised.x_t - s * wrong, "sample": wrong}[kind]
    snr = alpha_bar / (1 - alpha_bar)
    assert snr.min() < gamma < snr.max()
    expected = (snr.clamp(max=gamma) * (found - X_0).square().flatten(1).mean(1)).mean()
    assert noised.error(wrong) == pytest.approx(float(expected), rel=1e-3)


def backend(family: str) -> Latent:
    return parity.backend(family, Files(parity.folder(family)))


def positions(made: Flow, noised: Noised) -> Tensor:
    """The noise levels of the rows [B]."""
    return ((noised.x_t - X_16) / (noised.target)).flatten(1).median(1).values


X_16 = torch.randn(4096, 1, 2, 2, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", ["stable_diffusion_3", "flux"])
def test_a_flow_goes_straight_from_x_0_to_noise(family: str) -> None:
    made = Flow(backend(family))
    noised = made.draw(X_16, seeded())
    sigma = positions(made, noised)
    assert torch.allclose(noised.t, 1000 * sigma, atol=0.1)  # as the network is asked in sampling
    assert torch.allclose(noised.x_t - sigma.view(-1, 1, 1, 1) * noised.target, X_16, atol=1e-4)
    assert torch.equal(noised.weight, torch.ones(len(X_16)))
    assert noised.error(noised.target) == 0


def test_noise_levels_are_logit_normal_and_shifted_as_in_sampling() -> None:
    made = Flow(backend("stable_diffusion_3"), mean=0.5, std=0.8)
    sigma = positions(made, made.draw(X_16, seeded()))
    even = sigma / (3 - 2 * sigma)  # the inverse of the checkpoint's shift, 3 u / (1 + 2 u)
    logits = torch.logit(even.clamp(1e-3, 1 - 1e-3))
    assert logits.mean() == pytest.approx(0.5, abs=0.05)
    assert logits.std() == pytest.approx(0.8, abs=0.05)
    assert made.sigmas[0] > 0
    assert made.sigmas[-1] == 1
    assert len(made.sigmas) == FLOW_STEPS


def test_a_checkpoint_says_which_it_is() -> None:
    options = {"min_snr_gamma": 5.0, "logit_mean": 0.0, "logit_std": 1.0}
    eps, flow = (objective(backend(family), options) for family in ("stable_diffusion", "flux"))
    assert isinstance(eps, Diffusion)
    assert (eps.kind, eps.gamma) == ("epsilon", 5.0)
    assert isinstance(flow, Flow)
