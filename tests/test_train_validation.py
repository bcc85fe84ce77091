"""Held-out rows in training: figures are averaged, results are really drawn, scored and put where people look."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import media, storage
from pipeline.conditions import Condition
from pipeline.train import drawing, validation
from pipeline.train.autoencoding import Autoencoding
from pipeline.train.denoising import Denoising, noise_schedule
from tests.test_train import batch, denoising, settings

Models = dict[str, str]


class Shard:
    """The first rows of a shard, as Ray Data gives them."""

    def iter_batches(self, batch_size: int, batch_format: str) -> Any:
        assert batch_format == "numpy"
        yield batch(min(batch_size, 8))


def test_figures_are_means_of_the_numbers() -> None:
    found = [{"a": 1.0, "b": np.nan, "c": np.nan}, {"a": 3.0, "b": 5.0, "c": np.nan}]
    assert validation.averaged(found) == {"a": 2.0, "b": 5.0}
    assert validation.averaged([]) == {}


def test_a_network_that_knows_the_answer_draws_it() -> None:
    """v = a eps - s x_0 of the true x_0: the sampling loop must end at x_0, whatever noise it began with."""
    x_0 = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    alpha_bar = noise_schedule().alphas_cumprod

    def exact(x_t: torch.Tensor, t: torch.Tensor, *_: object) -> torch.Tensor:
        a, s = (v[t].view(-1, 1, 1, 1) for v in (alpha_bar.sqrt(), (1 - alpha_bar).sqrt()))
        return a * (x_t - a * x_0) / s - s * x_0

    one = torch.ones(2, 1)
    nothing = {"text": Condition(one[:, :, None], one.bool(), one, (), one[:, 0].bool())}
    denoiser = drawing.Training(exact, (3, 4, 4), noise_schedule().config)  # type: ignore[arg-type]
    state = torch.random.get_rng_state()
    assert torch.allclose(drawing.draw(denoiser, nothing, 10), x_0, atol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.fixture
def stage(models: Models, pairs: str, tmp_path: Path) -> Denoising:
    torch.manual_seed(0)
    return denoising(models, pairs, str(tmp_path))


def test_pictures_are_drawn_scored_and_shown(stage: Denoising, tmp_path: Path) -> None:
    given = dataclasses.replace(settings("autoencode", "x", str(tmp_path)).validate, samples=3, steps=2)
    made = validation.drawn(stage, stage.network.eval(), Shard(), given)
    assert made is not None
    assert set(made.figures) == {"clip_text", "clip_image", "sketch_f1", "delta_e"}
    assert made.picture.shape == (3 * 32, 3 * 32, 3)
    own = np.frombuffer(batch(3)["image"][1], np.uint8).reshape(32, 32, 3)
    assert np.array_equal(made.picture[64:, 32:64], own)  # below the sketch and the result
    again = validation.drawn(stage, stage.network, Shard(), given)
    assert again is not None
    assert np.array_equal(again.picture, made.picture)  # the same noise at every epoch
    validation.show(str(tmp_path), 12, made.picture)
    stored = media.decode_image(storage.read(f"{tmp_path}/samples/00012.webp"), media.Bounds())
    assert stored.shape == made.picture.shape


def test_without_a_judge_there_are_no_similarities(stage: Denoising) -> None:
    stage.judge = None
    assert set(stage.draw(stage.network.eval(), batch(2), 2).figures) == {"sketch_f1", "delta_e"}


def test_stages_that_do_not_draw_are_only_measured(pairs: str, tmp_path: Path) -> None:
    given = settings("autoencode", pairs, str(tmp_path))
    stage = Autoencoding.create(given)
    found = validation.validate(stage, stage.network.eval(), Shard(), given)
    assert set(found.figures) == {"psnr", "latent_std"}
    validation.show(str(tmp_path / "out"), 1, found.picture)
    assert not (tmp_path / "out").exists()
