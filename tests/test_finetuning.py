"""Fine-tuning of published checkpoints: what learns, what stays, and that diffusers and we read what comes out."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from jobs.train import absolute
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.models.files import Files
from pipeline.settings import SettingsError
from pipeline.train import base, data
from pipeline.train.finetuning import Finetuning
from pipeline.train.settings import Optimiser
from pipeline.train.state import State
from pipeline.train.tuned import Tuned
from tests import parity
from tests.finetuned import FAMILIES, TRAINED, batch, learn, settings, stage
from tests.parity import Case

OPTIONS = Optimiser(1, 1, 4, 1, 1e-2, "constant", 1, 0.0, 0.9, 1.0, "float32", 4096)
PIPELINES = {  # family -> of diffusers, alone and with an adapter
    "stable_diffusion": ("StableDiffusionPipeline", "StableDiffusionAdapterPipeline"),
    "stable_diffusion_xl": ("StableDiffusionXLPipeline", "StableDiffusionXLAdapterPipeline"),
    "stable_diffusion_3": ("StableDiffusion3Pipeline", ""),
    "flux": ("FluxPipeline", ""),
}


def everything(made: Finetuning) -> dict[str, Tensor]:
    """All weights of the checkpoint, those of its text encoders and autoencoder too, that are not an adapter's."""
    pipe: Any = made.encoders["text"].encoders.pipeline  # type: ignore[attr-defined]
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    parts |= {"network": made.backend.network, "vae": made.backend.vae}
    return {f"{n}.{k}": v.clone() for n, p in parts.items() for k, v in p.state_dict().items() if "lora_" not in k}


def case(family: str, kind: str) -> Case:
    """The pipeline of diffusers that uses what was trained."""
    plain, adapted = PIPELINES[family]
    if kind == "t2i_adapter":
        return Case(family, adapted, ("t2i",))
    if kind == "controlnet":
        return Case(family, plain.replace("Pipeline", "ControlNetPipeline"), ("control",))
    return Case(family, plain)


def files(family: str, kind: str, place: Path) -> Files:
    """How what was trained is used."""
    if kind == "full":
        return Files(place)
    if kind == "lora":
        return Files(parity.folder(family), loras=((place, 1.0),))
    return Files(parity.folder(family), adapters=((place, 0.7),))


def asked(network: Any, rows: data.Batch, made: Finetuning) -> Tensor:
    """A prediction at noise."""
    x_t, keep = initial_noise(generators([1, 2, 3, 4]), made.backend.latent_shape), torch.ones(4, dtype=torch.bool)
    with torch.no_grad():
        found: Tensor = network(x_t, torch.full((4,), 500.0), made.conditions(rows), {"text": keep, "sketch": keep})
    return found


@pytest.mark.parametrize(("family", "kind"), TRAINED)
def test_it_learns_and_is_read_by_diffusers_and_by_us(
    family: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, rows = stage(family, kind), batch()
    before, first = everything(made), asked(made.network, rows, made)
    losses = learn(made, rows, 8, lr=1e-2 if kind == "lora" else 3e-3)
    assert losses[-1] < 0.995 * losses[0]
    assert all(weight.grad is not None for weight in made.network.parameters())  # or workers would wait for it

    after = everything(made)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    if kind == "full":
        assert changed >= {f"network.{name}" for name, _ in made.backend.network.named_parameters()}
        assert {name.split(".")[0] for name in changed} == {"network"}
    else:
        assert not changed

    made.save(made.network, tmp_path)
    own = files(family, kind, tmp_path)
    loaded = parity.backend(family, Files(own.folder, tuple((p, 1.0) for p, _ in own.adapters), own.loras))
    ours = asked(lambda x, t, c, keep: loaded.denoise(x, t, loaded.prepare(c), keep), rows, made)
    assert torch.allclose(ours, asked(made.network, rows, made), atol=1e-5)
    assert not torch.allclose(ours, first, atol=1e-4)

    monkeypatch.setattr(parity, "files", lambda _: own)
    theirs = parity.compare(case(family, kind), parity.schedulers(case(family, kind))[0])
    assert theirs["max_abs_diff"] < 1e-4


@pytest.mark.parametrize(("family", "kind"), [("stable_diffusion", "lora"), ("flux", "controlnet")])
def test_only_what_is_trained_is_averaged_and_kept(family: str, kind: str, tmp_path: Path) -> None:
    made, rows = stage(family, kind), batch()
    state, start = State(made.network, OPTIONS), asked(made.network, rows, made)
    for _ in range(3):
        made.loss(made.network, rows, torch.Generator().manual_seed(0)).backward()
        state.advance()
    trained = asked(made.network, rows, made)
    with state.averaged() as network:
        average = asked(network, rows, made)
    assert torch.allclose(asked(made.network, rows, made), trained)  # the average has left its place
    assert not torch.allclose(average, trained, atol=1e-6)
    assert not torch.allclose(average, start, atol=1e-6)

    whole = state.save(tmp_path)
    kept = load_file(tmp_path / "network.safetensors")
    assert sum(value.numel() for value in kept.values()) == sum(p.numel() for p in made.network.parameters())
    again = State(stage(family, kind).network, OPTIONS)
    again.load(tmp_path)
    assert torch.allclose(asked(again.network, rows, made), trained, atol=1e-6)

    saved = copy.deepcopy(made.network).to(torch.float16)
    assert isinstance(saved, Tuned)
    assert saved.backend is made.backend  # what is frozen is there once
    saved.load_state_dict(whole)
    made.save(saved, tmp_path / "model")
    [file] = (tmp_path / "model").glob("*.safetensors")
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    assert {weight.dtype for weight in made.network.parameters()} == {torch.float32}


def gradients(*more: str) -> list[Tensor]:
    made = stage("stable_diffusion", "lora", *more)
    made.loss(made.network, batch(), torch.Generator().manual_seed(0)).backward()
    return [weight.grad for weight in made.network.parameters() if weight.grad is not None]


def test_gradient_checkpointing_and_bfloat16_give_the_same_gradients() -> None:
    plain = gradients()
    for one, other in zip(plain, gradients("stage.options.gradient_checkpointing=true"), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    near = gradients("stage.options.dtype=bfloat16")
    assert {gradient.dtype for gradient in near} == {torch.float32}
    one, other = (torch.cat([g.flatten() for g in found]) for found in (plain, near))
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_without_its_text_sees_the_checkpoints_nothing(family: str) -> None:
    made, rows = stage(family, "lora"), batch()
    nothing = {**rows, "text": rows["text"].copy()}
    nothing["text"][:] = ""
    never, ever = (torch.full((4,), told) for told in (False, True))
    errors = [
        made.error(made.network, given, {"text": keep}, torch.Generator().manual_seed(0)).item()
        for given, keep in ((rows, never), (nothing, ever), (rows, ever))
    ]
    assert errors[0] == errors[1] != errors[2]
    made.drop_text = 1.0
    assert made.loss(made.network, rows, torch.Generator().manual_seed(0)).item() != errors[2]


def test_a_row_without_its_sketch_teaches_nothing() -> None:
    made, seen = stage("stable_diffusion", "controlnet"), torch.ones(4, dtype=torch.bool)
    made.error(made.network, batch(), {"text": seen, "sketch": ~seen}, torch.Generator().manual_seed(0)).backward()
    assert not any(weight.grad.any() for weight in made.network.parameters() if weight.grad is not None)


def test_a_checkpoint_overfits_eight_rows() -> None:
    made, rows = stage("stable_diffusion", "full", "stage.options.size=32"), batch(8, 32)
    first = made.validate(made.network, rows)
    learn(made, rows, 120, draws=10_000)
    last = made.validate(made.network, rows)  # on noise that was never trained on
    assert set(last) == {"loss_all", "loss_none"}
    assert last["loss_all"] < 0.4 * first["loss_all"]


@pytest.mark.parametrize(
    ("family", "kind", "more", "words"),
    [
        ("flux", "t2i_adapter", (), "train=t2i_adapter: family=flux takes FluxControlNetModel alone"),
        ("stable_diffusion", "dreambooth", (), "unknown stage.options.train=dreambooth; known: lora, full"),
        ("inpainting", "lora", (), "family=inpainting cannot be trained; those that can: flux, stable_diffusion"),
        ("flux", "lora", ("stage.options.min_snr_gamma=5",), "min_snr_gamma is of diffusion"),
        ("flux", "lora", ("stage.options.dtype=fp16",), "stage.options.dtype must be one of float32"),
        ("flux", "lora", ("stage.options.rank=0",), "must be at least 1"),
        ("flux", "lora", ("stage.options.drop_text=7",), "drop_text is a share"),
        ("flux", "lora", ("stage.options.model=/no/such/folder",), "has no model_index.json"),
    ],
)
def test_what_cannot_be_trained_is_named(family: str, kind: str, more: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        base.check(settings(family, kind, *more).stage.options)


def test_a_checkpoint_of_another_family_is_named() -> None:
    options = {**settings("flux", "lora").stage.options, "family": "stable_diffusion"}
    with pytest.raises(SettingsError, match="is a FluxPipeline, not of stable_diffusion: take .*family=flux"):
        base.check(options)


def test_shares_are_refused_before_they_train_nothing() -> None:
    Finetuning.check(settings("stable_diffusion", "lora"))
    with pytest.raises(SettingsError, match="workers.parallel=ddp alone"):
        Finetuning.check(settings("stable_diffusion", "lora", "workers.parallel=fsdp"))


def test_columns_that_are_not_there_are_named(pairs: str) -> None:
    def check(kind: str, **columns: str | None) -> None:
        given = settings(
            "stable_diffusion",
            kind,
            f"input.path={pairs}",
            *(f"input.columns.{k}={v or 'null'}" for k, v in columns.items()),
        )
        data.check(given.input, given.train_where, Finetuning.reader(given.stage.options))

    check("lora")
    check("controlnet")
    with pytest.raises(SettingsError, match=r"needs the input's sketch; name its column with input.columns.sketch="):
        check("t2i_adapter", sketch=None)
    with pytest.raises(SettingsError, match="has no column 'picture'"):
        check("lora", image="picture")


def test_layers_that_are_not_there_are_named() -> None:
    with pytest.raises(SettingsError, match=r"stage.options.targets: the unet has no such layers"):
        stage("stable_diffusion", "lora", "stage.options.targets=[to_nowhere]")


def test_a_relative_checkpoint_is_made_absolute() -> None:
    given = settings("flux", "lora", "input.path=rows.parquet", "stage.options.model=models/flux")
    assert absolute(given).stage.options["model"] == str(Path.cwd() / "models/flux")


@pytest.mark.parametrize(("family", "kind"), [("stable_diffusion", "lora"), ("stable_diffusion_3", "controlnet")])
def test_it_trains_data_parallel(family: str, kind: str, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    made = stage(family, kind)
    wrapped = torch.nn.parallel.DistributedDataParallel(made.network)
    for _ in range(2):  # the second step is refused if the first left a gradient out
        made.loss(wrapped, batch(), torch.Generator().manual_seed(0)).backward()
    torch.distributed.destroy_process_group()
    assert all(weight.grad is not None for weight in made.network.parameters())
