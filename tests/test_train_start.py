"""What a denoiser starts from: nothing, over given parts, or the weights of a generator."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.models import image
from pipeline.settings import SettingsError
from pipeline.train.denoising import Denoising
from tests.test_train import Models, batch, settings


def test_a_generator_goes_on_learning_over_its_own_parts(models: Models, pairs: str, tmp_path: Path) -> None:
    given = settings("denoise", pairs, str(tmp_path), f"stage.options.start={models['path']}")
    Denoising.check(given)
    stage, saved = Denoising.create(given), image.load(Path(models["path"]))
    for own, before in zip(stage.network.parameters(), saved.parameters(), strict=True):
        assert torch.equal(own, before.float())
        assert own.requires_grad
    assert stage.frozen.folders == {part: Path(models["path"]) / part for part in ("clip", "vae")}
    stage.loss(stage.network, batch(), torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    stage.save(stage.network, tmp_path / "model")
    assert '"text_tokens": "hidden"' in (tmp_path / "model" / "model_index.json").read_text()  # as it was trained


def test_what_cannot_be_trained_is_said_before_anything_starts(models: Models, pairs: str, tmp_path: Path) -> None:
    for more, said in (
        ((), "needs stage.options.clip="),
        ((f"stage.options.clip={models['clip']}",), "needs stage.options.vae="),
        (("stage.options.fusion.join=sum",), "not sum"),
    ):
        with pytest.raises(SettingsError, match=said):
            Denoising.check(settings("denoise", pairs, str(tmp_path), *more))
    other = shutil.copytree(models["path"], tmp_path / "other")
    path = other / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "sample"}))
    with pytest.raises(SettingsError, match="predicts sample"):
        Denoising.check(settings("denoise", pairs, str(tmp_path), f"stage.options.start={other}"))
