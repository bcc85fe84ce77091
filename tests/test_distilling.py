"""stage=distil: what the student is asked, what its teacher says, and that few steps of the one loop ask the same."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.train import absolute
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.models.files import Files
from pipeline.train import drawing
from pipeline.train.adversarial import Game
from pipeline.train.data import to_tensors
from pipeline.train.distilling import Distilling
from tests.test_adversarial import Models, settings, steps, trainer
from tests.test_train import batch


def studying(models: Models, *more: str) -> Distilling:
    torch.manual_seed(0)
    return Distilling.create(settings("distil", f"stage.options.teacher={models['path']}", *more))


@pytest.fixture(scope="module")
def stage(models: Models) -> Distilling:
    return studying(models)


def game(stage: Distilling) -> Game:
    whole = batch(4)
    picture, sketch = to_tensors(whole)
    keep = {m: torch.ones(4, dtype=torch.bool) for m in ("text", "sketch")}
    conditions = stage.conditions(whole, list(whole["text"]), sketch)
    return stage.game(picture, conditions, keep, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("count", "expected"), [(1, [999]), (2, [999, 499]), (4, [999, 749, 499, 249])])
def test_the_student_is_asked_when_sampling_asks(models: Models, count: int, expected: list[int]) -> None:
    stage = studying(models, f"stage.options.steps={count}")
    assert stage.timesteps.tolist() == expected
    for name in ("model", "LCMScheduler", "ddim", "dpmpp_2m"):
        config = dict(stage.scheduler.config) | {"_class_name": "LCMScheduler"}
        scheduler = make_scheduler(name, config)
        scheduler.set_timesteps(count)
        assert scheduler.timesteps.tolist() == expected
    asked = torch.cat([game(stage).t, stage.question(torch.zeros(200, 4, 8, 8), torch.Generator().manual_seed(0))[1]])
    assert sorted(set(asked.tolist()), reverse=True) == expected


def test_at_first_the_student_is_its_teacher(stage: Distilling) -> None:
    played = game(stage)
    with torch.no_grad():
        assert torch.equal(stage.answer(stage.network.generator, played), stage.taught(played, played.x_t, played.t))  # type: ignore[union-attr, arg-type]
    assert not any(p.requires_grad for p in stage.teacher.parameters())
    own = {id(p) for p in stage.network.parameters()}
    assert not own & {id(p) for p in stage.teacher.parameters()}


def test_what_the_teacher_says_counts_less_where_it_sees_only_noise(stage: Distilling) -> None:
    """Of a teacher to whom everything is zero the loss is E[a_t] mean(x_0^2)."""
    silent = studying_silently(stage)
    made = torch.randn(2000, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    expected = float(stage.alpha_bar.sqrt().mean() * made.square().mean())
    found = silent.beside(game(stage), made, torch.Generator().manual_seed(2))
    assert float(found) == pytest.approx(250 * expected, rel=0.03)


def studying_silently(stage: Distilling) -> Any:
    class Silent(Distilling):
        def taught(self, game: Game, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
            return torch.zeros_like(x_t)

    silent = Silent.__new__(Silent)
    silent.__dict__.update(stage.__dict__)
    return silent


def test_the_teachers_guidance_is_a_line_through_both_its_answers(models: Models) -> None:
    answers = {}
    for scale in (0, 1, 3):
        stage = studying(models, f"stage.options.guidance={scale}")
        played = game(stage)
        with torch.no_grad():
            answers[scale] = stage.taught(played, played.x_t, played.t)
    nothing = dataclasses.replace(played, keep={m: torch.zeros_like(k) for m, k in played.keep.items()})
    with torch.no_grad():
        alone = stage.clean(stage.teacher(played.x_t, played.t, played.conditions, nothing.keep), played.x_t, played.t)
    assert torch.allclose(answers[0], alone, atol=1e-5)
    assert torch.allclose(answers[3] - answers[0], 3 * (answers[1] - answers[0]), atol=1e-4)
    assert (answers[1] - answers[0]).abs().max() > 1e-3


def test_the_student_learns_and_the_teacher_stands_still(models: Models, tmp_path: Path) -> None:
    stage = studying(models)
    before = [p.clone() for p in stage.teacher.parameters()]
    found = [stage.validate(stage.network, batch())["loss_all"]]
    steps(trainer(stage), 40)
    found.append(stage.validate(stage.network, batch())["loss_all"])
    assert found[1] < found[0]
    assert all(torch.equal(a, b) for a, b in zip(before, stage.teacher.parameters(), strict=True))


def test_a_student_is_saved_as_a_generator_that_knows_how_it_is_asked(stage: Distilling, tmp_path: Path) -> None:
    stage.save(stage.network, tmp_path)
    backend = SketchToImageBackend(Files(tmp_path), "cpu", torch.float32, {})
    scheduler = make_scheduler("model", backend.scheduler_config)
    scheduler.set_timesteps(4)
    assert type(scheduler).__name__ == "LCMScheduler"
    assert scheduler.timesteps.tolist() == stage.timesteps.tolist()
    trained = stage.network.get_submodule("generator").state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in backend.network.state_dict().items())
    index = (tmp_path / "model_index.json").read_text()
    assert '"text_tokens": "hidden"' in index  # as the teacher's


def test_each_step_is_asked_as_in_training(stage: Distilling) -> None:
    """A student that knows the answer: what it is asked next is that answer under noise of its own."""
    x_0 = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    asked: list[tuple[int, torch.Tensor]] = []

    def exact(x_t: torch.Tensor, t: torch.Tensor, *_: object) -> torch.Tensor:
        asked.append((int(t[0]), x_t))
        a, s = stage.levels(t)
        return a * (x_t - a * x_0) / s - s * x_0

    whole = batch(8)
    conditions = stage.conditions(whole, list(whole["text"]), to_tensors(whole)[1])
    conditions = {m: c.repeat(8) for m, c in conditions.items()}
    denoiser = drawing.Training(exact, (4, 8, 8), stage.scheduler.config)
    assert torch.allclose(drawing.draw(denoiser, conditions, 4, stage.sampler), x_0, atol=1e-3)
    noise = initial_noise(generators(range(64)), (4, 8, 8))
    for t, x_t in asked[1:]:
        a, s = (float(v) for v in stage.levels(torch.tensor([t])))
        fresh = (x_t - a * x_0) / s
        assert float(fresh.std()) == pytest.approx(1, abs=0.02)
        assert abs(float((fresh * noise).mean())) < 0.02


def test_a_teacher_is_found_from_where_the_command_is_given() -> None:
    given = absolute(settings("distil", "stage.options.teacher=runs/denoise/model"))
    assert given.stage.options["teacher"] == str(Path.cwd() / "runs/denoise/model")
    assert given.validate.steps == given.stage.options["steps"] == 4
