"""Training on Ray Train with two workers: kill -9 of one of them and of the driver changes no loss and no weight."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import media, storage
from pipeline.conditions.clip import Clip
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.models.files import Files
from pipeline.settings import SettingsError
from pipeline.train.fit import fit
from tests import mortal
from tests.test_train import arguments, settings

pytestmark = [
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.timeout(900),
]  # a busy machine starts processes slowly
ROOT = Path(__file__).resolve().parent.parent
SMALL = ("optimiser.batch_size=4", "optimiser.passes=1", "optimiser.warmup_steps=1", "optimiser.precision=float32")
# 24 rows, 2 workers, batches of 4: epochs of 3 steps, with a checkpoint after the second of each
MORE = (*SMALL, "workers.count=2", "workers.checkpoint_steps=2", "optimiser.epochs=2", "log.every=1", mortal.FACTORY)
WEIGHTS = "model/open_clip_model.safetensors"


def figures(output: Path) -> dict[int, dict[str, Any]]:
    """What was reported of each epoch."""
    return {int(p.stem): storage.read_json(str(p)) for p in output.glob("log/*.json")}


def curve(output: Path) -> dict[int, tuple[float, float, float]]:
    """Loss, gradient and rate of each step."""
    found = {}
    for path in sorted(output.glob("log/steps/*.json")):
        notes = storage.read_json(str(path))
        found |= dict(enumerate(zip(notes["loss"], notes["gradient"], notes["lr"], strict=True), notes["first"]))
    return found


@pytest.fixture(scope="module")
def whole(pairs: str, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody interrupts."""
    output = tmp_path_factory.mktemp("whole")
    fit(settings("align", pairs, str(output), *MORE))
    return output


def test_all_is_noted_of_a_training(whole: Path, pairs: str) -> None:
    assert Clip.load(str(whole / "model")).widths == {"tokens": 32, "pooled": 16}
    assert (whole / "model" / "checksums.json").exists()
    logged = figures(whole)
    assert [logged[e]["step"] for e in (1, 2)] == [3, 6]
    steps = curve(whole)
    assert sorted(steps) == [0, 1, 2, 3, 4, 5]
    assert [logged[e]["loss"] for e in (1, 2)] == pytest.approx(
        [sum(steps[s][0] for s in range(first, first + 3)) / 3 for first in (0, 3)]
    )
    assert sorted(p.name for p in (whole / "tensorboard").iterdir()) == [
        f"events.out.tfevents.{step:010d}" for step in (3, 6)
    ]
    before = (whole / WEIGHTS).stat().st_mtime_ns
    assert fit(settings("align", pairs, str(whole), *MORE)) == str(whole / "model")  # nothing is left to do
    assert (whole / WEIGHTS).stat().st_mtime_ns == before


def test_a_driver_and_a_worker_that_die_change_nothing(whole: Path, pairs: str, tmp_path: Path) -> None:
    command = [sys.executable, "jobs/train.py", *arguments("align", pairs, str(tmp_path), *MORE)]
    environment = {**os.environ, "MORTAL_SECONDS": "2", "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 400
    while len(curve(tmp_path)) < 4 and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert 4 <= len(curve(tmp_path)) < 6
    workers = [int(p.read_text()) for p in tmp_path.glob("worker-*.pid")]
    while any(map(alive, workers)):  # nobody trains on behind the driver's back
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (tmp_path / "die-1-1").touch()  # a worker of those who go on, in its first step
    fit(settings("align", pairs, str(tmp_path), *MORE))
    assert not (tmp_path / "die-1-1").exists()
    assert curve(tmp_path) == curve(whole)
    assert (tmp_path / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and nobody has looked after does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_rows_that_are_not_kept_train_alike(whole: Path, pairs: str, tmp_path: Path) -> None:
    fit(settings("align", pairs, str(tmp_path), *MORE, "workers.cache=false", "optimiser.epochs=1"))
    made = curve(tmp_path)
    assert made[0][0] == curve(whole)[0][0]
    assert len(made) == 3


def test_a_network_in_shares_is_validated_by_what_it_draws(models: dict[str, str], pairs: str, tmp_path: Path) -> None:
    parts = (f"stage.options.clip={models['clip']}", f"stage.options.vae={models['path']}/vae")
    way = ("workers.count=2", "workers.parallel=fsdp", "optimiser.epochs=1", "validate.samples=2", "validate.steps=2")
    model = Path(fit(settings("denoise", pairs, str(tmp_path), *SMALL, *parts, *way)))
    found = figures(tmp_path)[1]
    assert {"loss_all", "loss_none", "drawn.clip_text", "drawn.sketch_f1", "drawn.delta_e"} <= set(found)
    shown = media.decode_image((tmp_path / "samples/00001.webp").read_bytes(), media.Bounds())
    assert shown.shape == (3 * 32, 2 * 32, 3)
    network = SketchToImageBackend(Files(model), "cpu", torch.float32, {}).network
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_training_without_a_whole_batch_is_refused(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="24 rows per worker do not fill one step of 1 x 256"):
        fit(settings("align", pairs, str(tmp_path)))


def test_an_output_holds_one_training(pairs: str, tmp_path: Path) -> None:
    given = settings("align", pairs, str(tmp_path), *SMALL, "workers.count=2", "optimiser.batch_size=64")
    with pytest.raises(SettingsError, match="do not fill one step"):
        fit(given)
    with pytest.raises(SettingsError, match=r"other settings \(stage, seed\)"):
        fit(settings("autoencode", pairs, str(tmp_path), "seed=5"))


WRONG = ("workers.count=0", "optimiser.precision=bf16", "save_dtype=fp16", "workers.parallel=dp", "log.every=0")


@pytest.mark.parametrize("typed", [*WRONG, "workers.checkpoint_steps=0", "optimiser.schedule=cosin", "log.to=[wand]"])
def test_settings_that_cannot_train_are_named(pairs: str, tmp_path: Path, typed: str) -> None:
    with pytest.raises(SettingsError, match=typed.split("=", maxsplit=1)[0]):
        fit(settings("align", pairs, str(tmp_path), typed))
    assert not (tmp_path / "train.json").exists()
