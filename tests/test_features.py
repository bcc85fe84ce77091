"""Features of one's own network in place of the judge's: TorchScript, an autoencoder, torchvision's classifiers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.evaluation import aggregate, features
from pipeline.settings import SettingsError
from tests import make
from tests.test_evaluation import finished as finished  # noqa: PLC0414 - the fixture

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(5)]


class Means(nn.Module):
    """Mean colour, as a feature network; with `return_features` as the published Inception has it."""

    def forward(self, pictures: Tensor, return_features: bool = False) -> Tensor:
        colours = pictures.float().mean((2, 3))
        return colours if return_features else colours[:, :1]


@pytest.fixture
def means(tmp_path: Path) -> str:
    path = tmp_path / "means.pt"
    torch.jit.script(Means()).save(str(path))
    return str(path)


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
