"""A page of two runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs import compare
from pipeline import ledger
from pipeline.report import comparison, facts
from pipeline.report.rows import read
from pipeline.report.scores import Scores
from pipeline.settings import Compare, SettingsError
from tests import synthetic

Models = dict[str, str]


def test_a_comparison_pairs_what_both_have(models: Models, tmp_path: Path) -> None:
    def shifted(cell: Any, rng: np.random.Generator) -> Any:
        found = dict(synthetic.by_text(cell, rng))
        return {**found, "clip_text": found["clip_text"] + 0.1}

    grid = "sweep.guidance.text=[1,2]"
    a = synthetic.run(models, tmp_path / "a", 40, synthetic.by_text, grid)
    b = synthetic.run(models, tmp_path / "b", 30, shifted, grid, "seed=1", "limit=20")
    run = Compare(run=b[0], against=a[0], output=str(tmp_path / "c"))
    text = Path(compare.compare(run)).read_text()
    assert "B is better" in text
    assert "n = 20" in text
    assert "different seeds" in text
    found = comparison.differences(Scores(a[1], _table(*a)), Scores(b[1], _table(*b)))
    shift = {d.cell: d for d in found if d.score == "clip_text"}
    assert set(shift) == {"text=1", "text=2"}
    assert all(d.difference.value == pytest.approx(0.1, abs=0.01) for d in shift.values())
    assert all(d.told_apart and d.difference.n == 20 for d in shift.values())
    assert text.count('data-words="') == 20
    assert len(json.loads((tmp_path / "c" / "figures.json").read_text())) == 2 * 5


def test_runs_that_share_nothing_cannot_be_compared(models: Models, tmp_path: Path) -> None:
    a = synthetic.run(models, tmp_path / "a", 4, synthetic.by_text, "where='n < 2'")
    b = synthetic.run(models, tmp_path / "b", 4, synthetic.by_text, "where='n >= 2'")
    with pytest.raises(SettingsError, match="share no input"):
        comparison.write_comparison(str(tmp_path / "c"), *a, *b)


def _table(output: str, plan: Any) -> pa.Table:
    return pa.concat_tables(read(o.uri, facts.FIGURES) for o in ledger.data_objects(output))
