"""Training on Ray Train with two workers: one is killed, training goes on; the same command continues a training."""

import os
import signal
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import nn

from pipeline import storage
from pipeline.conditions.clip import Clip
from pipeline.settings import SettingsError
from pipeline.train.alignment import Alignment
from pipeline.train.data import Batch
from pipeline.train.fit import fit
from pipeline.train.settings import Train
from tests.test_train import settings

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]
MORE = ("optimiser.batch_size=4", "optimiser.passes=1", "optimiser.warmup_steps=1", "optimiser.precision=float32")


class Dying(Alignment):
    """Alignment whose second worker is killed once, in its second epoch."""

    mark: Path
    calls = 0

    @classmethod
    def create(cls, given: Train, device: str = "cpu") -> Self:
        stage = super().create(given, device)
        stage.mark = Path(given.output) / "died"
        return stage

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        import ray.train

        self.calls += 1
        if ray.train.get_context().get_world_rank() == 1 and self.calls == 4 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(network, batch, generator)


def figures(output: str) -> dict[int, dict[str, Any]]:
    return {int(o.uri[-10:-5]): storage.read_json(o.uri) for o in storage.list_objects(f"{output}/log", ".json")}


def test_two_workers_survive_a_death_and_a_training_goes_on(pairs: str, tmp_path: Path) -> None:
    output = str(tmp_path / "clip")
    dying = "stage.factory=tests.test_training_ray:Dying"
    given = settings("align", pairs, output, *MORE, dying, "workers.count=2", "optimiser.epochs=2")
    model = Path(fit(given))
    assert (tmp_path / "clip" / "died").exists()
    assert Clip.load(str(model)).widths == {"tokens": 32, "pooled": 16}
    assert (model / "checksums.json").exists()
    logged = figures(output)
    assert [logged[e]["step"] for e in (1, 2)] == [3, 6]  # 24 rows, 2 workers, batches of 4
    assert fit(given) == str(model)  # nothing is left to do

    before = (model / "open_clip_model.safetensors").read_bytes()
    fit(settings("align", pairs, output, *MORE, dying, "workers.count=1", "optimiser.epochs=3"))
    assert (model / "open_clip_model.safetensors").read_bytes() != before
    logged = figures(output)
    assert logged[3]["step"] == 12  # one worker takes all six batches
    assert logged[3]["loss"] > 0


def test_a_training_without_a_whole_batch_is_refused(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="24 rows per worker do not fill one step of 1 x 256"):
        fit(settings("align", pairs, str(tmp_path)))


def test_an_output_holds_one_training(pairs: str, tmp_path: Path) -> None:
    given = settings("align", pairs, str(tmp_path), *MORE, "workers.count=2", "optimiser.batch_size=64")
    with pytest.raises(SettingsError, match="do not fill one step"):
        fit(given)
    with pytest.raises(SettingsError, match=r"other settings \(stage, seed\)"):
        fit(settings("autoencode", pairs, str(tmp_path), "seed=5"))


@pytest.mark.parametrize("typed", ["workers.count=0", "optimiser.precision=bf16", "save_dtype=fp16"])
def test_settings_that_cannot_train_are_named(pairs: str, tmp_path: Path, typed: str) -> None:
    with pytest.raises(SettingsError, match=typed.split("=", maxsplit=1)[0]):
        fit(settings("align", pairs, str(tmp_path), typed))
