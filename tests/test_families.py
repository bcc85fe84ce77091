"""Published families: the same as diffusers' own pipelines, step by step, and any subset of their conditions."""

import dataclasses
import math
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.prompts import Negatives, Prompts, TextEncoders
from pipeline.diffusion.families.flux import pack, unpack
from pipeline.diffusion.families.timing import set_flow_timesteps
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.diffusion.schedulers import FLOW, make_scheduler, prediction_type
from pipeline.settings import SettingsError
from tests import parity
from tests.parity import CASES, Case

SKETCHED = [case for case in CASES if len(case.adapters) == 1 and case.pipeline != "StableDiffusionControlNetPipeline"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pipeline}-{len(case.adapters)}")
def test_a_family_draws_what_its_pipeline_draws(case: Case) -> None:
    row = parity.compare(case, parity.schedulers(case)[0])
    assert row["steps"] >= 3
    assert row["max_abs_diff"] < 1e-4
    assert row["end"] < 1e-3 * max(1.0, row["end_scale"])


def asked(case: Case, **keep: bool) -> Tensor:
    """A prediction for two rows that may see what `keep` says."""
    denoiser = parity.backend(case.family, parity.files(case))
    conditions = denoiser.prepare(parity.evidence(case))
    x_t = initial_noise(generators([1, 2]), denoiser.latent_shape)
    kept = {name: torch.full((2,), keep.get(name, True)) for name in conditions}
    with torch.no_grad():
        return denoiser.denoise(x_t, torch.full((2,), 500.0), conditions, kept)


@pytest.mark.parametrize("case", SKETCHED, ids=lambda case: case.pipeline)
def test_any_subset_of_text_and_sketch_can_be_asked_for(case: Case) -> None:
    every = [asked(case, text=text, sketch=sketch) for text in (True, False) for sketch in (True, False)]
    for i, one in enumerate(every):
        assert one.isfinite().all()
        for other in every[i + 1 :]:
            assert not torch.allclose(one, other, atol=1e-4)
    without = dataclasses.replace(case, adapters=())
    assert torch.allclose(asked(case, sketch=False), asked(without), atol=1e-5)  # an unseen sketch is no sketch


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pipeline}-{len(case.adapters)}")
def test_every_family_computes_in_bfloat16(case: Case) -> None:
    exact, near = (drawn(case, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert near.dtype == torch.float32
    assert 0 < float((near - exact).abs().max()) < 0.1 * float(exact.abs().max())


def drawn(case: Case, dtype: torch.dtype) -> Tensor:
    """A prediction at pure noise."""
    denoiser = parity.backend(case.family, parity.files(case), dtype, strength=1.0)
    ready = denoiser.prepare(parity.evidence(case))
    x_t = initial_noise(generators([1, 2]), denoiser.latent_shape)
    keep = {name: torch.tensor([True, False]) for name in ready}
    with torch.no_grad():
        return denoiser.denoise(x_t, torch.full((2,), 500.0), ready, keep)


def test_a_missing_prompt_is_the_negative_one() -> None:
    case = CASES[0]
    denoiser = parity.backend(case.family, parity.files(case))
    context = EncoderContext(str(parity.folder(case.family)), "cpu", options=parity.options(case.family))
    text, negative = Prompts.load(context)([None, "a red box"]), Negatives.load(context)([None, "ugly"])
    assert text.present.tolist() == [False, True]
    assert negative.present.all()
    seen, _ = denoiser.words({"text": text, "negative": negative}, {"text": torch.tensor([True, True])})
    assert torch.equal(seen[0], TextEncoders.load(context)(["blurry"])[0][0])  # the task's default
    assert torch.equal(seen[1], text.tokens[1])
    seen, _ = denoiser.words({"text": text, "negative": negative}, {"text": torch.tensor([True, False])})
    assert torch.equal(seen[1], TextEncoders.load(context)(["ugly"])[0][0])


def test_xl_says_nothing_by_zeros() -> None:
    folder = str(parity.folder("stable_diffusion_xl"))
    nothing: Condition = Negatives.load(
        EncoderContext(folder, "cpu", options=parity.options("stable_diffusion_xl", negative_prompt=None))
    )([None, "bad"])
    assert not nothing.tokens[0].any()
    assert not nothing.pooled[0].any()
    assert nothing.tokens[1].any()


def test_patches_are_latents_again() -> None:
    latents = torch.randn(2, 16, 8, 8)
    assert pack(latents).shape == (2, 16, 64)
    assert torch.equal(unpack(pack(latents), 4), latents)


def test_a_flow_takes_schedulers_of_flows_alone() -> None:
    made = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    config = {**made.config, "_class_name": type(made).__name__}
    for name in ("euler", "heun", "dpmpp_2m", "unipc", "model"):
        assert prediction_type(make_scheduler(name, config).config) == FLOW
    with pytest.raises(SettingsError, match="flow matching"):
        make_scheduler("ddim", config)


def test_a_flow_is_shifted_by_the_number_of_patches() -> None:
    def first(length: int, **more: Any) -> float:
        made = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **more)
        set_flow_timesteps(made, 4, length, sigmas=True)
        return float(made.sigmas[1])

    plain = 0.75  # of 4 even steps
    for length, mu in ((256, 0.5), (4096, 1.15)):  # the two ends of the schedule
        assert first(length) == pytest.approx(math.exp(mu) / (math.exp(mu) + 1 / plain - 1), abs=1e-5)
