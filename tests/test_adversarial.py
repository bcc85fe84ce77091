"""stage=gan: turns, learning, interruption, and that what is saved generates in one step of the one loop."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.cli import compose_config
from pipeline.build import build
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.diffusion.guidance import everything
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.diffusion.sampler import Guide, sample
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.models.files import Files
from pipeline.train.adversarial import Gan
from pipeline.train.data import to_tensors
from pipeline.train.picturing import SUBSETS
from pipeline.train.settings import Train
from pipeline.train.state import State
from pipeline.train.steps import Trainer
from tests.test_train import batch

Models = dict[str, str]
TURNS = ("discriminator", "generator")
SMALL = (
    "input.path=x",
    "optimiser.warmup_steps=1",
    "optimiser.precision=float32",
    "stage.options.image_size=32",
    "stage.options.discriminator.channels=[16,32]",
)


def settings(stage: str, *more: str) -> Train:
    from omegaconf import OmegaConf

    composed = compose_config("train", [f"stage={stage}", "output=out", *SMALL, *more])
    values: Any = OmegaConf.to_container(composed, resolve=True)
    return build(Train, values)


def playing(models: Models, *more: str) -> Gan:
    torch.manual_seed(0)
    parts = (f"stage.options.clip={models['clip']}", f"stage.options.vae={models['path']}/vae")
    return Gan.create(settings("gan", *parts, "stage.options.channels=[32,32]", *more))


def trainer(stage: Any, total: int = 100, lr: float = 2e-3) -> Trainer:
    options = dataclasses.replace(settings("gan", "stage.options.clip=x", "stage.options.vae=x").optimiser, lr=lr)
    return Trainer(stage, stage.network, State(stage.network, options), options, total)


def steps(playing: Trainer, count: int) -> list[float]:
    """Losses of some steps, by random numbers that follow from the step alone."""
    return [
        float(playing.step([batch()], torch.Generator().manual_seed(playing.state.position.step))[0])
        for _ in range(count)
    ]


def test_each_learns_in_its_turn_alone(models: Models) -> None:
    stage = playing(models, "stage.options.rates.generator=0.5")
    play = trainer(stage)
    for number in range(4):
        turn = TURNS[number % 2]
        assert play.turn[0] == turn
        before = copy.deepcopy(stage.network.state_dict())
        rate = play.rate
        assert torch.isfinite(play.step([batch()], torch.Generator().manual_seed(0))).all()
        changed = {k for k, v in stage.network.state_dict().items() if not torch.equal(v, before[k])}
        assert changed
        assert {name.split(".")[0] for name in changed} == {turn}
        assert rate == pytest.approx(2e-3 * (0.5 if turn == "generator" else 1.0), rel=0.01)


def test_the_discriminator_learns_to_tell(models: Models) -> None:
    stage = playing(models, "stage.options.r1=0.01")
    optimiser = torch.optim.Adam(stage.network.discriminator.parameters(), 2e-3)  # type: ignore[union-attr, arg-type]
    losses = []
    for index in range(40):
        loss = stage.loss(stage.network, batch(), torch.Generator().manual_seed(index % 4), "discriminator")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 1.2
    assert sum(losses[-4:]) / 4 < 1.0  # what is made is told from what is real; wrong conditions take longer


def test_the_generator_learns(models: Models) -> None:
    stage = playing(models)
    figures = stage.validate(stage.network, batch())
    assert set(figures) == {f"loss_{subset}" for subset in SUBSETS}
    found = [figures["loss_all"]]
    steps(trainer(stage), 40)
    found.append(stage.validate(stage.network, batch())["loss_all"])
    assert found[1] < 0.9 * found[0]


@pytest.mark.parametrize("done", [1, 4])
def test_an_interrupted_game_goes_on_bit_by_bit(models: Models, tmp_path: Path, done: int) -> None:
    """Also after one step, when the generator has not had its turn and has no moments."""
    first = trainer(playing(models))
    steps(first, done)
    first.state.save(tmp_path)
    second = trainer(playing(models))
    second.state.load(tmp_path)
    assert second.turn[0] == TURNS[done % 2]
    assert steps(first, 3) == steps(second, 3)
    for a, b in zip(
        first.state.parameters + first.state.average, second.state.parameters + second.state.average, strict=True
    ):
        assert torch.equal(a, b)


def test_accumulated_batches_are_one_turn(models: Models) -> None:
    stage = playing(models)
    play = trainer(stage)
    before = copy.deepcopy(stage.network.state_dict())
    play.step([batch(4), batch(4)], torch.Generator().manual_seed(0))
    changed = {k.split(".")[0] for k, v in stage.network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"discriminator"}


@pytest.mark.parametrize("scheduler", ["ddim", "dpmpp_2m", "euler", "unipc", "model"])
def test_one_step_of_the_loop_is_the_generators_answer(models: Models, tmp_path: Path, scheduler: str) -> None:
    stage = playing(models)
    stage.save(stage.network, tmp_path)
    backend = SketchToImageBackend(Files(tmp_path), "cpu", torch.float32, {})
    whole = batch(4)
    conditions = stage.conditions(whole, list(whole["text"]), to_tensors(whole)[1])
    made = make_scheduler(scheduler, backend.scheduler_config)
    drawn = sample(backend, conditions, generators(range(4)), made, 1, Guide(everything(tuple(conditions), 4)))
    noise = initial_noise(generators(range(4)), backend.latent_shape)
    keep = {m: torch.ones(4, dtype=torch.bool) for m in conditions}
    with torch.no_grad():
        answer = stage.asked(stage.network)(noise, torch.full((4,), 999), conditions, keep)
    assert drawn.forwards == 4
    assert torch.allclose(drawn.values, answer, atol=0 if scheduler == "ddim" else 1e-4, rtol=0)


def test_what_it_makes_is_drawn_and_scored(models: Models) -> None:
    stage = playing(models)
    made = stage.draw(stage.network.eval(), batch(2), 1)
    assert set(made.figures) == {"clip_text", "clip_image", "sketch_f1", "delta_e"}
    assert made.picture.shape == (3 * 32, 2 * 32, 3)


def test_the_error_of_x_0_counts_as_much_as_it_is_said_to(models: Models) -> None:
    stage = playing(models)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        stage.options = {**stage.options, "reconstruction": weight}
        generator = torch.Generator().manual_seed(0)
        losses[weight] = stage.loss(stage.network, batch(), generator, "generator").item()
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * (losses[1.0] - losses[0.0]), rel=1e-4)
    assert losses[1.0] > losses[0.0]
