"""The column `selected`: properties of the pure function, and the column of a real output."""

from pathlib import Path

import pytest

from pipeline.scores.select import select
from pipeline.settings import Select
from tests import make
from tests.test_stages import run

Models = dict[str, str]
SOURCES = ["a", "a", "a", "b", "b"]
VALUES = [0.1, 0.3, 0.2, None, 0.5]
OK = [True, True, True, True, False]


@pytest.mark.parametrize(
    ("top_k", "least", "chosen"),
    [
        (None, None, [True, True, True, True, False]),  # nothing is asked for: all that went well
        (1, None, [False, True, False, False, False]),
        (2, None, [False, True, True, False, False]),
        (None, 0.2, [False, True, True, False, False]),
        (2, 0.25, [False, True, False, False, False]),
    ],
)
def test_rows_are_chosen_by_rank_and_by_value(top_k: int | None, least: float | None, chosen: list[bool]) -> None:
    assert select(Select("any", top_k, least), SOURCES, VALUES, OK) == chosen


def test_equal_values_go_by_order() -> None:
    assert select(Select("any", 1, None), ["a"] * 3, [0.5, 0.5, 0.5], [True] * 3) == [True, False, False]


def test_the_output_marks_the_best_of_each_input(models: Models, pairs: str, tmp_path: Path) -> None:
    more = ["limit=4", "num_samples=3", "shard_rows=6", "select.by=-delta_e", "select.top_k=1"]
    rows = run(make.generate(models, pairs, str(tmp_path), *more)).to_pylist()
    assert len(rows) == 12
    for source in {r["source_id"] for r in rows}:
        own = [r for r in rows if r["source_id"] == source]
        chosen = [r for r in own if r["selected"]]
        assert len(chosen) == 1
        assert chosen[0]["scores"]["delta_e"] == min(r["scores"]["delta_e"] for r in own)
