"""Losses, data and state of training, without Ray."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from jobs.cli import compose_config
from jobs.train import absolute
from pipeline.build import build
from pipeline.train import data
from pipeline.train.alignment import Alignment
from pipeline.train.autoencoding import Autoencoding, differences
from pipeline.train.denoising import Denoising, noise_schedule
from pipeline.train.flooding import flooded
from pipeline.train.settings import Train
from pipeline.train.tokenizer import learn
from tests import tiny

Models = dict[str, str]


def arguments(stage: str, pairs: str, output: str, *more: str) -> list[str]:
    small = {
        "align": [f"stage.options.{k}={v}" for k, v in tiny.CLIP_OPTIONS.items()],
        "autoencode": [
            "stage.options.image_size=32",
            "stage.options.channels=8",
            "stage.options.blocks=1",
            "stage.options.latent_channels=4",
        ],
        "denoise": ["stage.options.image_size=32", "stage.options.channels=[32,32]"],
    }.get(stage, [])
    return [
        f"stage={stage}",
        f"input.path={pairs}",
        f"output={output}",
        "train_where=null",
        "val_where=null",
        *small,
        *more,
    ]


def settings(stage: str, pairs: str, output: str, *more: str) -> Train:
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(compose_config("train", arguments(stage, pairs, output, *more)), resolve=True)
    return build(Train, values)


def batch(count: int = 8) -> data.Batch:
    colour, sketch = zip(*(tiny.picture(i) for i in range(count)), strict=True)
    return {
        "image": np.array([np.asarray(c).tobytes() for c in colour], dtype=object),
        "sketch": np.array([np.asarray(s).tobytes() for s in sketch], dtype=object),
        "text": np.array([f"a {tiny.COLOURS[i % 5]} box" for i in range(count)], dtype=object),
        "tags": np.array(["square, shape"] * count, dtype=object),
        **{f"has_{role}": np.ones(count, bool) for role in ("text", "image", "sketch")},
    }


def test_differences_in_closed_form() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    assert differences(ramp) == pytest.approx(1.0)
    assert differences(torch.ones(1, 1, 3, 4)) == 0


def test_the_tokenizer_writes_anything_and_frames_it() -> None:
    tokenizer = learn(["a red box"] * 3, 300, 12)
    ids = tokenizer("A RED box", padding="max_length", max_length=12, truncation=True).input_ids
    assert ids[0] == 1
    assert 2 in ids
    assert ids[-1] == 0
    assert tokenizer.decode(tokenizer("日本 ☂ naïve", truncation=False).input_ids[1:-1]).strip() == "日本 ☂ naïve"


def learns(stage: Any, count: int, rows: int = 8, lr: float = 3e-3) -> tuple[float, float]:
    """(first, last) loss of some steps on one batch."""
    optimiser = torch.optim.Adam(stage.network.parameters(), lr)
    losses = []
    for index in range(count):
        loss = stage.loss(stage.network, batch(rows), torch.Generator().manual_seed(index % 4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses[:4])), float(np.mean(losses[-4:]))


def test_alignment_learns_and_saves_an_open_clip_folder(pairs: str, tmp_path: Path) -> None:
    from pipeline.conditions.clip import Clip

    torch.manual_seed(0)
    stage = Alignment.create(settings("align", pairs, str(tmp_path)))
    first, last = learns(stage, 200, rows=5, lr=1e-3)  # five texts that all differ
    assert first > 1.5 > 0.7 > last
    stage.save(stage.network, tmp_path / "model")
    clip = Clip.load(str(tmp_path / "model"))
    image, _ = data.to_tensors(batch())
    ours = nn.functional.normalize(stage.network.eval().encode_image(image * 2 - 1), dim=-1)
    assert torch.allclose(clip.embed_images(image), ours, atol=1e-5)
    assert set(stage.validate(stage.network, batch())) == {
        "image_to_text_r1",
        "text_to_image_r1",
        "text_to_sketch_r1",
        "sketch_to_text_r1",
    }


def test_autoencoding_learns_and_scales_its_latents(pairs: str, tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    from pipeline.models import image

    torch.manual_seed(0)
    stage = Autoencoding.create(settings("autoencode", pairs, str(tmp_path)))
    first, last = learns(stage, 60)
    assert last < first * 0.8
    stage.validate(stage.network, batch())
    stage.save(stage.network, tmp_path)
    vae = AutoencoderTiny.from_pretrained(tmp_path)
    with torch.no_grad():
        latents = image.encode(vae, data.to_tensors(batch())[0])
    assert latents.std() == pytest.approx(1, abs=0.05)


def denoising(models: Models, pairs: str, output: str, *more: str) -> Denoising:
    parts = (f"stage.options.clip={models['clip']}", f"stage.options.vae={models['path']}/vae")
    return Denoising.create(settings("denoise", pairs, output, *parts, *more))


@pytest.mark.parametrize(("join", "hidden"), [("tokens", 128), ("attention", 128), ("pooled", 0)])
def test_denoising_learns_and_saves_a_generator(
    models: Models, pairs: str, tmp_path: Path, join: str, hidden: int
) -> None:
    from pipeline.diffusion.backends import SketchToImageBackend
    from pipeline.models.files import Files

    torch.manual_seed(0)
    stage = denoising(models, pairs, str(tmp_path), f"stage.options.fusion={{join: {join}, hidden: {hidden}}}")
    first, last = learns(stage, 40)
    assert last < first
    assert set(stage.validate(stage.network, batch())) == {"loss_all", "loss_text", "loss_sketch", "loss_none"}
    stage.save(stage.network, tmp_path / "model")
    backend = SketchToImageBackend(Files(tmp_path / "model"), "cpu", torch.float32, {})
    loaded, trained = backend.network.state_dict(), stage.network.state_dict()
    assert set(loaded) == set(trained)
    assert all(torch.equal(loaded[name], trained[name]) for name in trained)


def test_another_text_encoder_takes_the_towers_place(models: Models, pairs: str, tmp_path: Path) -> None:
    from pipeline.conditions import EncoderContext
    from pipeline.conditions.clip import TextEncoder
    from pipeline.train.frozen import of_generator

    folder = tiny.language_folder(tmp_path / "bert", 0)
    stage = denoising(models, pairs, str(tmp_path), f"stage.options.language={folder}")
    first, last = learns(stage, 40)
    assert last < first
    stage.save(stage.network, tmp_path / "model")
    saved = TextEncoder.load(EncoderContext(str(tmp_path / "model"), "cpu"))
    words = ["a red box", "a blue box"]
    assert torch.equal(saved(words).tokens, stage.frozen.text(words).tokens)
    assert of_generator(tmp_path / "model")["language"] == str(tmp_path / "model" / "language")
    assert of_generator(Path(models["path"]))["language"] is None


def test_a_share_of_rows_is_flooded_with_noise(models: Models, pairs: str, tmp_path: Path) -> None:
    texts, sketch = ["a red box"] * 4000, torch.ones(4000, 1, 4, 4)
    said, drawn = flooded(texts, sketch, 0.1, torch.Generator().manual_seed(0))
    wordless = torch.tensor([text != "a red box" for text in said])
    drowned = (drawn != sketch).flatten(1).any(1)
    assert wordless.float().mean() == pytest.approx(0.1, abs=0.015)
    assert drowned.float().mean() == pytest.approx(0.1, abs=0.015)
    assert not (wordless & drowned).any()
    assert drawn[drowned].mean() == pytest.approx(0.5, abs=0.03)
    calm, wild = (denoising(models, pairs, str(tmp_path), f"stage.options.flood={share}") for share in (0.0, 0.5))
    one, other = (stage.varied(batch(), torch.Generator().manual_seed(0))[1] for stage in (calm, wild))
    moved = (one["sketch"].maps[0] != other["sketch"].maps[0]).flatten(1).any(1)
    reworded = (one["text"].pooled != other["text"].pooled).any(1)
    assert (moved ^ reworded).all()  # shares of one half each leave no row as it was


def test_the_exact_denoiser_has_no_loss(models: Models, pairs: str, tmp_path: Path) -> None:
    stage = denoising(models, pairs, str(tmp_path))
    picture, sketch = data.to_tensors(batch())
    from pipeline.models import image

    x_0 = image.encode(stage.vae, picture)

    def exact(x_t: torch.Tensor, t: torch.Tensor, *_: object) -> torch.Tensor:
        alpha_bar = noise_schedule().alphas_cumprod[t].view(-1, 1, 1, 1)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return a * (x_t - a * x_0) / s - s * x_0

    conditions = stage.conditions(batch(), [""] * 8, sketch)
    loss = stage.error(exact, picture, conditions, {}, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert loss < 1e-6


def test_relative_paths_of_a_training_are_made_absolute(pairs: str) -> None:
    given = settings(
        "denoise", "data/x.parquet", "out", "stage.options.clip=outputs/clip", "stage.options.vae=s3://b/vae"
    )
    made = absolute(given)
    assert made.output == str(Path.cwd() / "out")
    assert made.stage.options["clip"] == str(Path.cwd() / "outputs/clip")
    assert made.stage.options["vae"] == "s3://b/vae"
    assert dataclasses.replace(made, output="out", input=given.input, stage=given.stage) == given


def test_what_a_row_lacks_is_not_seen(models: Models, pairs: str, tmp_path: Path) -> None:
    stage, whole = denoising(models, pairs, str(tmp_path)), batch()
    partial = {**whole, "has_sketch": np.arange(8) < 4}
    sketch = data.to_tensors(whole)[1]
    assert stage.conditions(partial, list(whole["text"]), sketch)["sketch"].present.tolist() == [True] * 4 + [False] * 4
    with torch.no_grad():
        for parameter in stage.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
    figures = stage.validate(stage.network, {**whole, "has_sketch": np.zeros(8, bool)})
    assert figures["loss_sketch"] == figures["loss_none"]
    assert figures["loss_all"] == figures["loss_text"] != figures["loss_none"]
