"""Results that repeat training rows are found, with the pictures; real pictures say how near is too near."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.evaluation import aggregate, memorised
from pipeline.evaluation.collect import finished as plan_of
from pipeline.settings import SettingsError
from tests import make, tiny
from tests.test_evaluation import finished as finished  # noqa: PLC0414 - the fixture


def test_copies_of_the_results_are_near_duplicates(finished: str, tmp_path: Path) -> None:
    results = [r["image"] for p in sorted(Path(finished, "data").iterdir()) for r in pq.read_table(p).to_pylist()]
    rows = [{**row, "image": image} for row, image in zip(tiny.rows(len(results)), results, strict=True)]
    rows[3]["image"] = {"bytes": b"no picture", "path": None}
    training = tiny.write(tmp_path / "training.parquet", rows)
    settings = make.evaluate(finished, f"training.path={training}", "by=[]")
    body = json.loads(Path(aggregate.evaluate(settings).splitlines()[-1]).read_text())["groups"]["all"]
    assert body["nearest_training"]["value"] == pytest.approx(1, abs=2e-3)
    assert body["nearest_training"]["value"] > body["nearest_training_real"]["value"]
    assert body["near_duplicates"]["value"] > 0.9
    with Image.open(Path(finished, "report", "memorised.png")) as picture:
        assert min(picture.size) > 300


def test_shares_are_read_against_real_pictures() -> None:
    real = {str(i): float(similarity) for i, similarity in enumerate(np.linspace(0.5, 0.9, 100))}
    found = memorised._figures(np.array([0.95, 0.2, 0.95, 0.2], np.float32), list("aabb"), real, 0.9)
    assert found["near_duplicates"].value == 0.5
    assert found["near_duplicates"].n == 2
    assert found["nearest_training_real"].value == pytest.approx(0.7)


def test_another_judge_and_rows_that_are_not_there_are_refused(finished: str, models: dict[str, str]) -> None:
    training = f"training.path={models['path']}"
    with pytest.raises(SettingsError, match="is another model"):
        aggregate.evaluate(make.evaluate(finished, training, f"judge={models['clip']}"))
    with pytest.raises(SettingsError, match="there is no Parquet file"):
        aggregate.evaluate(make.evaluate(finished, training))
    with pytest.raises(SettingsError, match="leave out features="):
        memorised.figures(make.evaluate(finished, training, "features=x.pt"), plan_of(finished), {})
