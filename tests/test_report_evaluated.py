"""Figures over sets, once an evaluation has run, stand on the page too."""

from pathlib import Path

import pytest

from jobs.evaluate import evaluate
from pipeline.evaluation.collect import finished as plan_of
from pipeline.report import evaluated, facts
from pipeline.report.page import write_report
from tests import make
from tests.test_evaluation import finished as finished  # noqa: PLC0414 - the fixture


def test_a_run_that_was_not_evaluated_has_no_such_section(finished: str) -> None:
    assert evaluated.section(facts.gather(finished, plan_of(finished))) is None


def test_the_page_shows_them_once_there_are_any(finished: str) -> None:
    said = evaluate(make.evaluate(finished))
    assert said.endswith("evaluation.json")  # there was no page to put them on
    page = write_report(finished, plan_of(finished))
    text = Path(page).read_text()
    assert "Figures over sets" in text
    assert "fewer than 30 inputs" in text
    found = evaluated.section(facts.gather(finished, plan_of(finished)))
    assert found is not None
    assert {"frechet", "cmmd", "precision", "r1_text"} <= set(found.values["figures"])
    assert set(found.values["groups"]) == {"drop=none", "drop=text"}
    cmmd = found.values["groups"]["drop=none"][found.values["figures"].index("cmmd")]
    assert cmmd.low <= cmmd.value <= cmmd.high
    assert "Figures over sets" in Path(evaluate(make.evaluate(finished)).splitlines()[-1]).read_text()


def test_a_figure_that_a_slice_lacks_is_a_dash() -> None:
    assert evaluated._estimate(None).n == 0
    assert evaluated._estimate({"value": None, "low": 0, "high": 1, "n": 2}).value != pytest.approx(0)
