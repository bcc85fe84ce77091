"""Fine-tuning on Ray, and what is generated with what came out."""

from pathlib import Path

import numpy as np
import pytest

from jobs.train import train
from pipeline import storage
from pipeline.settings import SettingsError
from tests import finetuned
from tests.test_models import results, run, settings

Models = dict[str, str]
SHORT = ("optimiser.epochs=1", "optimiser.lr=0.03", "optimiser.warmup_steps=1", "optimiser.ema_decay=0.5")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_session")
def test_a_lora_that_two_workers_trained_changes_what_is_generated(models: Models, pairs: str, tmp_path: Path) -> None:
    output = tmp_path / "lora"
    given = (f"input.path={pairs}", f"output={output}", "workers.count=2", *SHORT)
    model = train(finetuned.settings("stable_diffusion", "lora", *given))
    assert model == str(output / "model")
    figures = storage.read_json(f"{output}/log/00001.json")
    assert figures["step"] == 3  # 24 rows, 2 workers, batches of 4
    assert {"loss_all", "loss_none"} <= set(figures)
    assert train(finetuned.settings("stable_diffusion", "lora", *given)) == model  # nothing is left to do

    drawn = [
        np.stack(results(run(settings(models, pairs, str(tmp_path / name), "stable_diffusion", *more))))
        for name, more in (
            ("plain", ("task=text_to_image",)),
            ("with", ("task=text_to_image", f"model.loras=[{model}]")),
        )
    ]
    assert (np.abs(drawn[0].astype(int) - drawn[1]).max((1, 2, 3)) > 8).all()


def test_what_cannot_be_trained_leaves_nothing_behind(pairs: str, tmp_path: Path) -> None:
    given = (f"input.path={pairs}", f"output={tmp_path}/out", "input.columns.sketch=null")
    with pytest.raises(SettingsError, match="needs the input's sketch"):
        train(finetuned.settings("stable_diffusion", "controlnet", *given))
    assert not (tmp_path / "out").exists()
