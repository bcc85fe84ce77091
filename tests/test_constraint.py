"""What has to be kept is kept, whatever a network predicts and whichever scheduler asks."""

import pytest
import torch
from diffusers import DDPMScheduler

from pipeline.conditions import Condition
from pipeline.diffusion import guidance, schedulers
from pipeline.diffusion.constraint import constrained, keeping, keeping_frames
from pipeline.diffusion.noise import generators
from pipeline.diffusion.sampler import Denoiser, Guide, sample

KINDS = ("sample", "epsilon", "v_prediction")
SHAPE = (6, 3)


def of(kind: str, x: torch.Tensor, x_0: torch.Tensor, sigma: float) -> torch.Tensor:
    a = (1 + sigma**2) ** -0.5
    eps = (x - a * x_0) / (sigma * a)
    return {"sample": x_0, "epsilon": eps, "v_prediction": a * eps - sigma * a * x_0}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_constrained_prediction_is_that_of_the_constrained_estimate(kind: str) -> None:
    torch.manual_seed(0)
    x, x_0, known = (torch.randn(4, 5, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(4, 5) < 0.5
    found = constrained(keeping(known, mask), of(kind, x, x_0, 0.7), x, 0.7, kind)
    assert torch.allclose(found, of(kind, x, torch.where(mask, known, x_0), 0.7))


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(ValueError, match="flow"):
        constrained(lambda x: x, torch.zeros(1), torch.zeros(1), 1.0, "flow")


class Keeps(Denoiser):
    """Predicts that x_0 is 1 everywhere; has to keep `known` in the first two places."""

    latent_shape = SHAPE

    def __init__(self, kind: str) -> None:
        self.kind = kind
        made = DDPMScheduler(prediction_type=kind, clip_sample=False, timestep_spacing="trailing")
        self.scheduler_config = dict(made.config)
        self.alpha_bar = made.alphas_cumprod
        self.known = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
        self.mask = torch.zeros(2, *SHAPE, dtype=torch.bool)
        self.mask[:, :2] = True

    def prepare(self, conditions):
        return conditions

    def constraint(self, _):
        return keeping(self.known, self.mask)

    def denoise(self, x_t, t, *_):
        alpha_bar = float(self.alpha_bar[int(t[0])])
        return of(self.kind, x_t, torch.ones_like(x_t), ((1 - alpha_bar) / alpha_bar) ** 0.5)

    def decode(self, x_0):
        return x_0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "ddpm", "unipc"])
def test_the_loop_ends_on_what_was_given(kind: str, name: str) -> None:
    denoiser = Keeps(kind)
    nothing = torch.zeros(2, 1, 1)
    condition = Condition(nothing, nothing[:, 0].bool(), nothing[:, 0], (), torch.ones(2, dtype=torch.bool))
    branches = guidance.branches("none", ("text",), (frozenset({"text"}),), [{}, {}])
    scheduler = schedulers.make_scheduler(name, denoiser.scheduler_config)
    drawn = sample(denoiser, {"text": condition}, generators([1, 2]), scheduler, 10, Guide(branches)).values
    free = drawn[~denoiser.mask]
    assert torch.allclose(drawn[denoiser.mask], denoiser.known[denoiser.mask], atol=0.02)
    assert (free - 1).abs().max() < 0.1


def test_a_correction_fades_beside_what_is_given() -> None:
    known, x_0 = torch.full((1, 20, 1), 2.0), torch.zeros(1, 20, 1)
    mask = torch.zeros(1, 20, 1, dtype=torch.bool)
    mask[:, :5] = True
    found = keeping_frames(known, mask, 4)(x_0)[0, :, 0]
    assert found.tolist() == pytest.approx([2.0] * 5 + [1.6, 1.2, 0.8, 0.4] + [0.0] * 11, abs=1e-5)
    assert torch.equal(keeping_frames(known, mask, 0)(x_0), keeping(known, mask)(x_0))
    assert torch.equal(keeping_frames(known, ~mask & mask, 4)(x_0), x_0)  # nothing is given


def test_a_gap_is_drawn_to_both_its_sides() -> None:
    known = torch.cat([torch.full((1, 5, 1), 1.0), torch.full((1, 8, 1), 3.0)], 1)
    mask = torch.ones(1, 13, 1, dtype=torch.bool)
    mask[:, 5:8] = False
    found = keeping_frames(known, mask, 100)(torch.zeros(1, 13, 1))[0, :, 0]
    assert torch.equal(found[mask[0, :, 0]], known[0, mask[0, :, 0], 0])
    assert (found[5:8].diff() > 0).all()
    assert found.diff().abs().max() < 1
