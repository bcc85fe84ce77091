import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.conditions import Conditions, EncoderContext
from pipeline.conditions.clip import TextEncoder, to_unit
from pipeline.conditions.sketch import SketchEncoder
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.models import image
from pipeline.models.files import Files
from tests.tiny import SIZE, picture

Models = dict[str, str]


@pytest.fixture(scope="module")
def backend(models: Models) -> SketchToImageBackend:
    return SketchToImageBackend(Files(Path(models["path"])), "cpu", torch.float32, {})


@pytest.fixture(scope="module")
def conditions(models: Models) -> Conditions:
    context = EncoderContext(models["path"], "cpu")
    sketches = [np.asarray(picture(i)[1]) for i in range(4)]
    return {
        "sketch": SketchEncoder.load(context)(sketches),
        "text": TextEncoder.load(context)(["a red box", "a green box", "a blue box", None]),
    }


def all_kept(rows: int) -> dict[str, torch.Tensor]:
    return {m: torch.ones(rows, dtype=torch.bool) for m in ("sketch", "text")}


def test_latents_are_a_quarter_of_the_picture(backend: SketchToImageBackend) -> None:
    assert backend.latent_shape == (4, SIZE // 4, SIZE // 4)
    pictures = to_unit([np.asarray(picture(i)[0]) for i in range(2)])
    latents = image.encode(backend.vae, pictures)
    assert latents.shape == (2, *backend.latent_shape)
    decoded = backend.decode(latents)
    assert decoded.shape == pictures.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


@torch.no_grad()
def test_preparing_once_is_the_same_as_preparing_every_step(
    backend: SketchToImageBackend, conditions: Conditions
) -> None:
    x_t, t = torch.randn(4, *backend.latent_shape), torch.full((4,), 500)
    prepared = backend.denoise(x_t, t, backend.prepare(conditions), all_kept(4))
    assert torch.equal(prepared, backend.network(x_t, t, conditions, all_kept(4)))


@torch.no_grad()
@pytest.mark.parametrize("modality", ["sketch", "text"])
def test_each_condition_has_a_say_only_where_it_is_kept(
    backend: SketchToImageBackend, conditions: Conditions, modality: str
) -> None:
    x_t, t = torch.randn(4, *backend.latent_shape), torch.full((4,), 500)
    swapped = conditions[modality].rows(torch.tensor([1, 0, 3, 2]))
    changed = {**conditions, modality: dataclasses.replace(swapped, present=conditions[modality].present)}
    ready, other = backend.prepare(conditions), backend.prepare(changed)
    keep = all_kept(4)
    assert not torch.allclose(backend.denoise(x_t, t, ready, keep)[0], backend.denoise(x_t, t, other, keep)[0])
    keep[modality] = torch.zeros(4, dtype=torch.bool)
    assert torch.equal(backend.denoise(x_t, t, ready, keep), backend.denoise(x_t, t, other, keep))


@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(backend: SketchToImageBackend, conditions: Conditions) -> None:
    x_t, t = torch.randn(4, *backend.latent_shape), torch.full((4,), 300)
    whole = backend.denoise(x_t, t, backend.prepare(conditions), all_kept(4))
    broken = torch.cat([x_t[:1], torch.full_like(x_t[1:], float("nan"))])
    assert torch.equal(backend.denoise(broken, t, backend.prepare(conditions), all_kept(4))[0], whole[0])
