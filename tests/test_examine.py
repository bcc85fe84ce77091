"""A checkpoint that lacks something is refused before any actor starts, in one line that says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.models.examine import examine
from pipeline.run import generate
from pipeline.settings import SettingsError
from tests import make, parity

Models = dict[str, str]
WEIGHTS = "diffusion_pytorch_model.safetensors"


def lacks_a_file(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).unlink()


def lacks_a_part(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def has_other_shapes(folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "cross_attention_dim": 48}))


def is_of_another_class(folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "_class_name": "UNet2DModel"}))


def is_pickled(folder: Path) -> None:
    torch.save(load_file(folder / "unet" / WEIGHTS), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / "unet" / WEIGHTS).unlink()


def lacks_a_config(folder: Path) -> None:
    (folder / "text_encoder" / "config.json").unlink()


def is_no_model(folder: Path) -> None:
    (folder / "model_index.json").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lacks_a_file, "unet holds no weights"),
        (lacks_a_part, "lacks its part vae/"),
        (lacks_a_config, "text_encoder has no config.json"),
        (has_other_shapes, "but its config.json makes it"),
        (is_of_another_class, "UNet2DModel, but the checkpoint's model_index.json wants a UNet2DConditionModel"),
        (is_pickled, "trust_pickle=true"),
        (is_no_model, "no folder in diffusers' layout"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    models: Models, pairs: str, tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(parity.folder("stable_diffusion"), folder)
    own = {**models, "path": str(folder)}
    given = ("task=text_to_image", "family=stable_diffusion")
    examine(make.generate(own, pairs, str(tmp_path), *given))
    harm(folder)
    with pytest.raises(SettingsError, match=message):
        generate(make.generate(own, pairs, str(tmp_path), *given))
    assert not (tmp_path / "plan.json").exists()  # which would hold on to these weights


@pytest.mark.parametrize("family", ["stable_diffusion_xl", "stable_diffusion_3", "flux"])
def test_the_family_must_be_the_checkpoints(models: Models, pairs: str, tmp_path: Path, family: str) -> None:
    own = {**models, "path": str(parity.folder(family))}
    examine(make.generate(own, pairs, str(tmp_path), "task=text_to_image", f"family={family}"))
    with pytest.raises(SettingsError, match=f"take family={family}"):
        examine(make.generate(own, pairs, str(tmp_path), "task=text_to_image", "family=stable_diffusion"))
    with pytest.raises(SettingsError, match=f"take family={family}"):
        examine(make.generate(own, pairs, str(tmp_path)))
    with pytest.raises(SettingsError, match="family=own"):
        examine(make.generate(models, pairs, str(tmp_path), "task=text_to_image", "family=flux"))


@pytest.mark.parametrize(
    ("family", "adapter"),
    [("stable_diffusion_3", "t2i:stable_diffusion"), ("flux", "control:stable_diffusion"), ("pipeline", "t2i:flux")],
)
def test_an_adapter_of_another_family_is_refused(
    models: Models, pairs: str, tmp_path: Path, family: str, adapter: str
) -> None:
    own = {**models, "path": str(parity.folder("stable_diffusion" if family == "pipeline" else family))}
    given = (f"family={family}", f"model.adapters=[{parity.folder(adapter)}]")
    with pytest.raises(SettingsError, match="but this family takes"):
        examine(make.generate(own, pairs, str(tmp_path), *given))


def test_a_pipeline_takes_its_own_arguments(models: Models, pairs: str, tmp_path: Path) -> None:
    own = {**models, "path": str(parity.folder("stable_diffusion"))}
    given = ("task=text_to_image", "family=pipeline", "task.options.inputs.negative_prompt=null")
    examine(make.generate(own, pairs, str(tmp_path), *given))
    with pytest.raises(SettingsError, match=r"takes no image; say task\.options\.inputs\.image=null"):
        examine(make.generate(own, pairs, str(tmp_path), *given, "task.options.inputs.image=source"))
    with pytest.raises(SettingsError, match="takes no gudance_scale; leave out"):
        examine(make.generate(own, pairs, str(tmp_path), *given, "task.options.arguments={gudance_scale: 3}"))


def test_pickles_are_read_where_they_are_trusted(models: Models, pairs: str, tmp_path: Path) -> None:
    from tests.test_stages import run

    folder = tmp_path / "model"
    shutil.copytree(parity.folder("stable_diffusion"), folder)
    is_pickled(folder)
    own = {**models, "path": str(folder)}
    given = ("task=text_to_image", "family=stable_diffusion", "limit=2", "model.trust_pickle=true")
    settings = make.generate(own, pairs, str(tmp_path / "out"), *given)
    examine(settings)
    assert all(row["status"] == "ok" for row in run(settings).to_pylist())
