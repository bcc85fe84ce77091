"""The loops written by hand draw what the pipeline draws (pipeline/bench/drawing.py, plain.py, best.py): only then is
it fair to compare their times."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.bench import best, plain
from pipeline.bench.drawing import Asked, Parts, rows
from tests import make
from tests.test_stages import run

MOST_LEVELS = 1  # of 255, that a pixel may differ: batches of other sizes round otherwise
LEAST_EQUAL = 0.999  # of the pixels


@pytest.fixture(scope="module")
def asked(models: dict[str, str], pairs: str, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    place = str(tmp_path_factory.mktemp("bench"))
    return Asked(models["path"], pairs, place, rows=6, steps=3, weights={"text": 3.0, "sketch": 2.0}, seed=0)


@pytest.fixture(scope="module")
def drawn(models: dict[str, str], pairs: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The pipeline's pictures by id."""
    place = str(tmp_path_factory.mktemp("run"))
    table = run(make.generate(models, pairs, place, "limit=6")).to_pylist()
    return {row["source_id"]: np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in table}


def same(a: np.ndarray, b: np.ndarray) -> None:
    difference = np.abs(a.astype(int) - b.astype(int))
    assert difference.max() <= MOST_LEVELS
    assert (difference == 0).mean() >= LEAST_EQUAL


def test_the_plain_loop_draws_the_pipelines_pictures(asked: Asked, drawn: dict[str, np.ndarray]) -> None:
    parts = Parts(asked.model)
    for given in rows(asked):
        same(plain.draw(parts, asked, given), drawn[given.id])


def test_the_best_loop_draws_the_pipelines_pictures(asked: Asked, drawn: dict[str, np.ndarray]) -> None:
    batch = [*rows(asked)]
    for given, pixels in zip(batch, best.draw(Parts(asked.model), asked, batch), strict=True):
        same(pixels, drawn[given.id])


def test_both_loops_write_every_row_and_say_when(asked: Asked, tmp_path: Path) -> None:
    found = plain.main(dataclasses.replace(asked, output=str(tmp_path / "plain")))
    assert len([*(tmp_path / "plain").glob("*.png")]) == 6
    assert found["rows"] == 5
    assert found["ready"] < found["done"]
    found = best.main(dataclasses.replace(asked, output=str(tmp_path / "best"), batch_size=4))
    assert sum(pq.read_metadata(p).num_rows for p in (tmp_path / "best").glob("*.parquet")) == 6
    assert found["rows"] == 2


def test_processes_share_the_rows(asked: Asked) -> None:
    two = dataclasses.replace(asked, processes=2)
    ids = [[row.id for row in rows(two, part)] for part in range(2)]
    assert sorted(ids[0] + ids[1]) == sorted(row.id for row in rows(asked))
    assert not set(ids[0]) & set(ids[1])
