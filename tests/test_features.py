"""Features of one's own network in place of the judge's: TorchScript, an autoencoder, torchvision's classifiers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.evaluation import aggregate, collect, features, stream
from pipeline.evaluation.figures import frechet_distance
from pipeline.settings import SettingsError
from tests import make
from tests.test_evaluation import finished as finished  # noqa: PLC0414 - the fixture

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(5)]


class Means(nn.Module):
    """Mean colour times a number, as a feature network; with `return_features` as the published Inception has it."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pictures: Tensor, return_features: bool = False) -> Tensor:
        colours = pictures.float().mean((2, 3)) * self.scale
        return colours if return_features else colours[:, :1]


def saved(folder: Path, scale: float = 1.0) -> str:
    path = folder / f"means-{scale}.pt"
    torch.jit.script(Means(scale)).save(str(path))
    return str(path)


@pytest.fixture
def means(tmp_path: Path) -> str:
    return saved(tmp_path)


def test_torchscript_gets_bytes_and_is_asked_for_features(means: str) -> None:
    assert features.load(means)(PICTURES) == pytest.approx(np.array([p.mean((0, 1)) for p in PICTURES]), rel=1e-4)


def test_an_autoencoders_folder_gives_its_latents(models: dict[str, str]) -> None:
    found = features.load(f"{models['path']}/vae")(PICTURES)
    assert found.shape[0] == 5
    assert np.isfinite(found).all()
    assert len({row.tobytes() for row in found}) == 5


def test_torchvisions_classifiers_lose_their_head(tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.get_model("resnet18", weights=None).state_dict(), tmp_path / "w.pth")
    assert features.load(f"torchvision:resnet18:{tmp_path}/w.pth")(PICTURES).shape == (5, 512)


@pytest.mark.parametrize("name", ["/no/such/folder", "inception"])
def test_what_is_no_network_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no TorchScript file"):
        features.load(name)


def test_a_run_is_evaluated_in_these_features(finished: str, means: str) -> None:
    said = aggregate.evaluate(make.evaluate(finished, f"features={means}"))
    body = json.loads(Path(said.splitlines()[-1]).read_text())
    judged = json.loads(Path(aggregate.evaluate(make.evaluate(finished)).splitlines()[-1]).read_text())
    assert body["features"] == means
    for group, own in body["groups"].items():
        assert own["frechet"]["value"] > 5  # in units of colour, 0 to 255
        assert own["clip_text"] == judged["groups"][group]["clip_text"]
        assert not [name for name in own if name.endswith("_text") and name.startswith("r")]  # texts have no colour


def test_features_keep_their_range_and_precision(finished: str, tmp_path: Path) -> None:
    found = []
    for scale in (1.0, 1e4):  # the larger ones are beyond half precision
        settings = make.evaluate(finished, f"features={saved(tmp_path, scale)}")
        plan = collect.finished(finished)
        found.append(next(iter(stream.gather(settings, plan).values())))
    assert found[0].sample.result.dtype == found[0].sample.reference.dtype == np.float32
    assert found[1].sample.result == pytest.approx(1e4 * found[0].sample.result, rel=1e-5)
    one, other = (frechet_distance(own.results, own.references, own.sample) for own in found)
    assert dataclasses.astuple(other)[:3] == pytest.approx(1e8 * np.array(dataclasses.astuple(one)[:3]), rel=1e-3)
