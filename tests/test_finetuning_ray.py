"""Fine-tuning on Ray, and what is generated with what came out."""

from pathlib import Path

import numpy as np
import pytest

from jobs.train import train
from pipeline import ledger, run, storage
from pipeline.settings import SettingsError
from tests import finetuned, make, parity
from tests.test_models import results

Models = dict[str, str]
pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]
SHORT = ("optimiser.epochs=1", "optimiser.lr=0.03", "optimiser.warmup_steps=1", "optimiser.ema_decay=0.5")


def generated(models: Models, pairs: str, place: Path, *more: str) -> np.ndarray:  # type: ignore[type-arg]
    """Pictures [4, S, S, 3] of a whole run with the tiny Stable Diffusion."""
    own = {**models, "path": str(parity.folder("stable_diffusion"))}
    given = ("task=text_to_image", "family=stable_diffusion", "limit=4", *more)
    run.generate(make.generate(own, pairs, str(place), *given))
    [shard] = ledger.data_objects(str(place))
    with storage.open_parquet(shard.uri) as parquet:
        return np.stack(results(parquet.read()))


def test_a_lora_that_two_workers_trained_changes_what_is_generated(models: Models, pairs: str, tmp_path: Path) -> None:
    output = tmp_path / "lora"
    given = (f"input.path={pairs}", f"output={output}", "workers.count=2", *SHORT)
    model = train(finetuned.settings("stable_diffusion", "lora", *given))
    assert model == str(output / "model")
    figures = storage.read_json(f"{output}/log/00001.json")
    assert figures["step"] == 3  # 24 rows, 2 workers, batches of 4
    assert {"loss_all", "loss_none"} <= set(figures)
    assert train(finetuned.settings("stable_diffusion", "lora", *given)) == model  # nothing is left to do

    plain = generated(models, pairs, tmp_path / "plain")
    with_lora = generated(models, pairs, tmp_path / "with", f"model.loras=[{model}]")
    assert plain.shape == with_lora.shape
    assert (np.abs(plain.astype(int) - with_lora).max((1, 2, 3)) > 8).all()


def test_what_cannot_be_trained_leaves_nothing_behind(pairs: str, tmp_path: Path) -> None:
    given = (f"input.path={pairs}", f"output={tmp_path}/out", "input.columns.sketch=null")
    with pytest.raises(SettingsError, match="needs the input's sketch"):
        train(finetuned.settings("stable_diffusion", "controlnet", *given))
    assert not (tmp_path / "out").exists()
