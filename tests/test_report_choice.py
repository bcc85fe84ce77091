"""Which setting a page names: cells, costs and differences of runs whose truth is known."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cells import Cell
from pipeline.diffusion.schedulers import SCHEDULERS, make_scheduler
from pipeline.evaluation.intervals import Estimate
from pipeline.report import anchors, answer, costs, facts, heatmaps, modalities, pareto, sweep, words
from tests import synthetic
from tests.test_sampler import CONFIG, draw

Models = dict[str, str]
TEXT, SKETCH = "sweep.guidance.text=[4,1,2]", "sweep.guidance.sketch=[0,2]"


def gathered(models: Models, folder: Path, *more: str, inputs: int = 40, score: Any = synthetic.by_text) -> facts.Facts:
    return facts.gather(*synthetic.run(models, folder, inputs, score, *more))


@pytest.fixture(scope="module")
def grid(models: Models, tmp_path_factory: pytest.TempPathFactory) -> facts.Facts:
    """Two weights, of which the text's alone says something."""
    return gathered(models, tmp_path_factory.mktemp("grid"), TEXT, SKETCH)


def test_axes_are_what_varies_and_values_agree_with_the_cells(models: Models, tmp_path: Path) -> None:
    _, plan = synthetic.run(models, tmp_path, 4, synthetic.by_text, TEXT, SKETCH, "sweep.drop=[none,[text,sketch]]")
    at = sweep.values(plan)
    for cell in plan.cells:
        assert at[cell.name]["guidance.text"] == cell.guidance["text"]
        assert at[cell.name]["guidance.sketch"] == cell.guidance["sketch"]
        assert at[cell.name]["drop"] == cell.drop
    assert [a.values for a in sweep.axes(plan)] == [(1, 2, 4), (0, 2), ((), ("text", "sketch"))]
    shown, cells = sweep.plane(plan, plan.cells[0].name)
    assert [a.key for a in shown] == ["guidance.text", "guidance.sketch"]
    assert cells[(2, 0)] == "text=2 sketch=0 drop=none"
    assert len(cells) == 6


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_known_schedulers_are_counted_without_building_them(name: str) -> None:
    made = make_scheduler(name, {"prediction_type": "v_prediction", "num_train_timesteps": 1000})
    made.set_timesteps(7)
    assert costs.evaluations(name, 7) == len(made.timesteps)


@pytest.mark.parametrize("interval", [None, (0.5, 5.0)])
@pytest.mark.parametrize("choice", ["composed", "single", "chained", "none"])
def test_forwards_of_a_cell_are_those_that_its_sampling_counts(
    models: Models, tmp_path: Path, choice: str, interval: tuple[float, float] | None
) -> None:
    written = "null" if interval is None else f"[{interval[0]},{interval[1]}]"
    more = (f"guidance={choice}", "steps=5", "scheduler=heun", f"guidance.interval={written}")
    _, plan = synthetic.run(models, tmp_path, 2, flat, *more)
    cell = plan.cells[0]
    drawn, _ = draw("heun", 5, 1, dict(cell.guidance), scheme=choice, interval=interval)
    assert costs.row_forwards(plan, cell, CONFIG) == drawn.forwards


def flat(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
    return dict.fromkeys(synthetic.SCORES, 0.5)


def test_what_the_network_sees_is_what_weighs_something_and_is_not_dropped(models: Models, tmp_path: Path) -> None:
    _, plan = synthetic.run(models, tmp_path, 2, flat, SKETCH, "sweep.drop=[none,text]")
    seen = {c.name: sorted(costs.seen(plan, c)) for c in plan.cells}
    assert seen["sketch=0 drop=none"] == ["text"]
    assert seen["sketch=2 drop=none"] == ["sketch", "text"]
    assert seen["sketch=2 drop=text"] == ["sketch"]
    assert seen["sketch=0 drop=text"] == []


def test_the_best_cell_is_named_with_those_that_cannot_be_told_from_it_and_the_cheapest(grid: facts.Facts) -> None:
    found = grid
    assert found.choice
    names = {found.choice.best.name, *(s.name for s in found.choice.alike)}
    assert names == {"text=2 sketch=0", "text=2 sketch=2"}  # the score says nothing of the sketch
    assert found.choice.cheapest.name == "text=2 sketch=0"
    assert found.choice.cheapest.forwards == 2 * 3
    worse = next(s for s in found.choice.standings if s.name == "text=4 sketch=2")
    assert worse.told_apart("clip_text")
    apart = worse.differences["clip_text"]
    assert apart.value == pytest.approx(-0.2, abs=0.01)
    assert apart.n == 40
    said = answer.section(found).values
    assert "text: 1, 2, 4" in said["question"]
    assert said["headline"].startswith("Best: text=2 sketch=")
    cheaper = "text=2 sketch=0" if found.choice.best.name != "text=2 sketch=0" else ""
    assert said["headline"].endswith(f"as far as n = 40 can tell: {cheaper}." if cheaper else "sketch=0.")
    assert "1 other cannot be told from it" in said["sentences"][0]
    assert "n = 40" in said["sentences"][0]


def test_models_schedulers_and_steps_are_axes_as_weights_are(models: Models, tmp_path: Path) -> None:
    other = shutil.copytree(models["path"], tmp_path / "other")
    (other / "note.txt").write_text("other weights")
    swept = (f"sweep.model=[{models['path']},{other}]", "sweep.steps=[2,4]", "sweep.scheduler=[ddim,heun]")

    def other_is_better(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
        return {**flat(cell, rng), "clip_text": 0.5 + 0.1 * cell.model.endswith("other") + 0.01 * rng.normal()}

    found = gathered(models, tmp_path, *swept, score=other_is_better)
    assert [a.key for a in sweep.axes(found.plan)] == ["steps", "model", "scheduler"]
    assert found.choice
    assert found.choice.best.cell.model == found.model.uri == str(other)
    forwards = {(s.cell.scheduler, s.cell.steps): s.forwards for s in found.choice.standings}
    assert forwards == {("ddim", 2): 6, ("ddim", 4): 12, ("heun", 2): 9, ("heun", 4): 21}
    assert found.choice.cheapest.cell.steps == 2
    assert len(found.sheet[0]["results"]) == 8
    assert answer.setting(found.plan) == "sketch to image · guidance composed · swept: steps, model, scheduler"
    assert [set(p) for p in found.cost.provenance] == [{"torch", "device", "judge", "model"}]


def test_a_score_may_be_best_when_low(models: Models, tmp_path: Path) -> None:
    def colour(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
        return {**flat(cell, rng), "delta_e": 20 + cell.guidance["text"] + 0.1 * rng.normal()}

    found = gathered(models, tmp_path, TEXT, "task.best_by='-delta_e'", score=colour)
    assert found.choice
    assert found.choice.best.name == "text=1"
    assert "every other one is worse, the nearest, text=2, by +1.0" in answer.answer(found)
    assert found.scores.names[0] == "delta_e"


def test_one_condition_against_several_in_one_sentence(models: Models, tmp_path: Path) -> None:
    def both_help(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
        value = 0.5 - 0.1 * len(cell.drop) + 0.01 * rng.normal()
        return {**flat(cell, rng), "clip_text": value}

    found = gathered(models, tmp_path, "sweep.drop=[none,text,sketch]", score=both_help)
    assert [g.title for g in found.groups] == ["sketch + text", "sketch", "text"]
    assert found.groups[1].below["clip_text"].value == pytest.approx(-0.1, abs=0.01)
    text = modalities.sentence(found)
    assert re.fullmatch(
        r"Sketch and text together reach \S+ \[.*\] in CLIP similarity to the text, only the sketch \S+ \(difference "
        r"−.*\) and only the text \S+ \(difference −.*\), over 40 inputs\.",
        text,
    )
    section = modalities.section(found)
    assert section
    assert section.tables["modalities"].num_rows == 3 * 5


def test_other_scores_that_prefer_another_setting_are_told(models: Models, tmp_path: Path) -> None:
    def opposed(cell: Cell, rng: np.random.Generator) -> Mapping[str, float]:
        return {**synthetic.by_text(cell, rng), "sketch_f1": cell.guidance["text"] / 10}

    (told,) = answer.tradeoffs(gathered(models, tmp_path, TEXT, score=opposed))
    assert told.startswith("Better than text=2 in other scores: ")
    assert told.endswith("sketch fidelity (F1) 0.400 with text=4 (+0.200 [+0.200, +0.200]).")


def test_a_run_without_a_sweep_says_what_came_out_beside_its_references(models: Models, tmp_path: Path) -> None:
    found = gathered(models, tmp_path, inputs=100)
    assert answer.setting(found.plan) == "sketch to image · dpmpp_2m · 3 steps · guidance composed"
    assert answer.question(found) == "What came of 100 inputs, generated from sketch and text?"
    said = answer.answer(found)
    assert said.startswith("98 of 100 rows went well")
    assert "for the references themselves" in said
    assert found.groups == ()
    assert heatmaps.section(found) is None
    assert pareto.section(found) is None


def test_anchors_come_from_the_stored_embeddings(models: Models, tmp_path: Path) -> None:
    found = gathered(models, tmp_path)
    ceiling, chance = anchors.anchors(found, "clip_text", "") or (None, None)
    assert ceiling
    assert chance
    own = [float(p.inputs["image"] @ p.inputs["text"]) for p in found.space]
    assert ceiling.value == pytest.approx(np.mean(own), abs=1e-6)
    assert chance.n == len(found.space) == 40
    assert anchors.anchors(found, "delta_e", "") is None


def test_the_front_has_no_cell_that_another_beats_in_both(grid: facts.Facts) -> None:
    found = grid
    assert found.choice
    for score in found.scores.names:
        sign = found.scores.sign(score)
        front = pareto.front(found.choice.standings, score, sign)
        for s in found.choice.standings:
            beaten = any(
                f.forwards <= s.forwards and sign * f.means[score].value >= sign * s.means[score].value for f in front
            )
            assert beaten  # every cell is on the front, or one of the front is as cheap and as good
        assert [f.forwards for f in front] == sorted({f.forwards for f in front})


def test_heat_maps_have_every_cell_and_curves_every_value(grid: facts.Facts, models: Models, tmp_path: Path) -> None:
    found = grid
    section = heatmaps.section(found)
    assert section
    assert found.choice
    for standing in found.choice.standings:
        assert f">{words.number(standing.means['clip_text'].value)}<" in section.drawings["sweep_clip_text"].svg
    assert section.tables["settings"].num_rows == 6 * 5
    curve = heatmaps.section(gathered(models, tmp_path / "b", TEXT))
    assert curve
    assert "weight of text" in curve.drawings["sweep_clip_text"].svg


def test_numbers_of_one_interval_have_one_precision() -> None:
    assert words.estimate(Estimate(0.1234, 0.1, 0.2, 9)) == "0.123 [0.100, 0.200]"
    assert words.difference(Estimate(2.51, 1.542, 3.4, 9)) == "+2.5 [+1.5, +3.4]"
    assert words.estimate(Estimate(0, 0, 0, 0)) == "–"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.size(1_500) == "1.5 kB"
