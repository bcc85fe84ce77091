"""A GAN in shares of two workers, and a student of one, trained on Ray: what comes out generates in as few steps."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.train import train
from pipeline import storage
from tests import make
from tests.test_adversarial import settings
from tests.test_models import results
from tests.test_stages import run

Models = dict[str, str]
pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(900)]
SHORT = ("optimiser.batch_size=4", "optimiser.passes=1", "optimiser.epochs=1", "train_where=null", "val_where=null")


def test_a_gan_that_workers_share_generates_in_one_step(models: Models, pairs: str, tmp_path: Path) -> None:
    parts = (f"stage.options.clip={models['clip']}", f"stage.options.vae={models['path']}/vae")
    two = ("workers.count=2", "workers.parallel=fsdp", "validate.samples=2", "stage.options.channels=[32,32]")
    given = (*parts, *SHORT, *two, f"input.path={pairs}", f"output={tmp_path}/gan")
    model = train(settings("gan", *given))
    figures = storage.read_json(f"{tmp_path}/gan/log/00001.json")
    assert figures["step"] == 3  # 24 rows, 2 workers, batches of 4
    assert {"loss_all", "loss_none", "drawn.delta_e"} <= set(figures)
    own = {**models, "path": model}
    made = {name: generated(own, pairs, tmp_path / name, f"scheduler={name}", "steps=1") for name in ("ddim", "unipc")}
    assert np.abs(made["ddim"].astype(int) - made["unipc"]).max() <= 1  # the generator's answer, by any of them
    assert made["ddim"].std(0).max() > 0


def test_a_student_generates_in_the_steps_that_it_learned(models: Models, pairs: str, tmp_path: Path) -> None:
    parts = (f"stage.options.teacher={models['path']}", "stage.options.steps=2", "validate.samples=2")
    model = train(settings("distil", *parts, *SHORT, f"input.path={pairs}", f"output={tmp_path}/student"))
    assert storage.read_json(f"{tmp_path}/student/log/00001.json")["step"] == 6
    made = generated({**models, "path": model}, pairs, tmp_path / "made", "scheduler=model", "steps=2")
    assert made.std(0).max() > 0


def generated(models: Models, pairs: str, place: Path, *more: str) -> NDArray[np.uint8]:
    """Pictures [4, S, S, 3] of the first rows."""
    return np.stack(results(run(make.generate(models, pairs, str(place), "limit=4", "guidance=none", *more))))
