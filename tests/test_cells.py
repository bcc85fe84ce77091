"""Sweeps as rows of one plan: cells, their names and ids, models outermost, and what each of them costs."""

import itertools
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline import ledger
from pipeline.adopt import adopt_or_make
from pipeline.cells import cells, variants
from pipeline.conditions import Condition
from pipeline.conditions.clip import TextEncoder
from pipeline.plan import MOST_PADDING, inputs_per_shard
from pipeline.run import fingerprints
from pipeline.settings import Generate, SettingsError
from pipeline.stages.sample import batches
from tests import make, tiny
from tests.test_plan import planned
from tests.test_stages import run

Models = dict[str, str]
encoded: list[str | None] = []  # the texts that CountingText was asked for


class CountingText(TextEncoder):
    """The project's text encoder, which notes what it encodes."""

    def __call__(self, values: Sequence[str | None]) -> Condition:
        encoded.extend(v for v in values if v is not None)
        return super().__call__(values)


@pytest.fixture
def other_model(models: Models, tmp_path: Path) -> str:
    """A generator whose weights are other ones."""
    folder = tmp_path / "other"
    shutil.copytree(models["path"], folder)
    file = next((folder / "unet").glob("*.safetensors"))
    tensors = load_file(file)
    save_file({name: np.asarray(value * 1.1, value.dtype) for name, value in tensors.items()}, file)
    (folder / "checksums.json").unlink(missing_ok=True)
    return str(folder)


def test_cells_are_the_product_of_the_axes(models: Models) -> None:
    axes = (
        "sweep.guidance.text=[1,2]",
        "sweep.steps=[2,3]",
        "sweep.scheduler=[ddim,euler]",
        "sweep.drop=[none,[text,sketch]]",
    )
    found = cells(make.generate(models, "in", "out", *axes))
    assert len(found) == len({c.name for c in found}) == len({c.key for c in found}) == 16
    assert found[0].name == "text=1 steps=2 scheduler=ddim drop=none"
    assert found[-1].name == "text=2 steps=3 scheduler=euler drop=text+sketch"
    assert (found[-1].guidance["text"], found[-1].steps, found[-1].scheduler) == (2.0, 3, "euler")
    assert found[-1].drop == ("text", "sketch")


def test_a_cell_has_the_key_of_the_run_that_it_is(models: Models) -> None:
    swept = cells(make.generate(models, "in", "out", "sweep.steps=[2,3]", "sweep.guidance.text=[1,3]"))
    plain = cells(make.generate(models, "in", "out", "steps=2", "guidance.text=1"))
    assert plain[0].key == swept[0].key
    assert plain[0].name == ""


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("sweep.steps=[2.5]", "sweep.steps: 2.5 is not a whole number"),
        ("sweep.scheduler=[3]", "sweep.scheduler: 3 is not text"),
        ("sweep.guidance.text=[x]", "sweep.guidance.text: 'x' is not a number"),
        (
            "sweep.guidance.smell=[1]",
            "sweep.guidance.smell cannot be swept; known: guidance.sketch, guidance.text",
        ),
        ("sweep.steps=[2,2]", "two settings of the sweep are the same"),
    ],
)
def test_what_cannot_be_swept_is_refused(models: Models, typed: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=answer):
        cells(make.generate(models, "in", "out", typed))


def test_models_are_the_outermost_axis(models: Models, pairs: str, other_model: str, place: str) -> None:
    axes = ("sweep.guidance.text=[1,2]", f"sweep.model=['{models['path']}','{other_model}']")
    settings = make.generate(models, pairs, place, *axes, "limit=6")
    made = adopt_or_make(settings, fingerprints(settings))
    rows = planned(made, place)
    assert [c.name for c in made.cells[:3]] == [
        "model=generator text=1",
        "model=generator text=2",
        "model=other text=1",
    ]
    assert (made.inputs, made.rows, made.shards) == (6, 24, 6)
    first, second = rows[:12], rows[12:]
    assert [made.model_of(s) for s in range(made.shards)] == [0, 0, 0, 1, 1, 1]
    assert all(str(r["cell"]).startswith("model=generator") == (r in first) for r in rows)
    assert [r["source_id"] for r in first] == [r["source_id"] for r in second]
    assert [r["seed"] for r in first] == [r["seed"] for r in second]  # the same noise
    assert len({r["row_id"] for r in rows}) == 24
    alone = make.generate({**models, "path": other_model}, pairs, f"{place}/alone", axes[0], "limit=6")
    same = planned(adopt_or_make(alone, fingerprints(alone)), f"{place}/alone")
    assert [r["row_id"] for r in same] == [r["row_id"] for r in second]  # by content, not by what a sweep calls it


def test_every_model_draws_its_own_rows(models: Models, pairs: str, other_model: str, tmp_path: Path) -> None:
    sweep = f"sweep.model=['{models['path']}','{other_model}']"
    together = run_rows(make.generate(models, pairs, str(tmp_path / "sweep"), sweep, "limit=4"))
    for path in (models["path"], other_model):
        alone = make.generate({**models, "path": path}, pairs, str(tmp_path / Path(path).name), "limit=4")
        own = run_rows(alone)
        assert len(own) == 4
        assert {k: v["image"] for k, v in own.items()} == {k: together[k]["image"] for k in own}
    assert len({v["image"]["bytes"] for v in together.values()}) == 8
    assert len({v["provenance"]["model"] for v in together.values()}) == 2


def run_rows(settings: Generate) -> dict[str, dict[str, dict[str, str]]]:
    return {r["row_id"]: r for r in run(settings, weights=fingerprints(settings)).to_pylist()}


def test_steps_and_schedulers_ride_in_one_shard_and_change_no_byte(models: Models, pairs: str, tmp_path: Path) -> None:
    sweep = ("sweep.steps=[2,3]", "sweep.scheduler=[ddim,euler]", "limit=4", "shard_rows=16")
    together = run_rows(make.generate(models, pairs, str(tmp_path / "sweep"), *sweep))
    assert len(together) == 16
    for steps, scheduler in itertools.product((2, 3), ("ddim", "euler")):
        output = str(tmp_path / f"{steps}-{scheduler}")
        alone = run_rows(make.generate(models, pairs, output, "limit=4", f"steps={steps}", f"scheduler={scheduler}"))
        assert {k: v["image"] for k, v in alone.items()} == {k: together[k]["image"] for k in alone}
        assert {(v["provenance"]["steps"], v["provenance"]["scheduler"]) for v in alone.values()} == {
            (str(steps), scheduler)
        }


def test_encodings_are_made_once_whatever_the_number_of_cells(models: Models, pairs: str, tmp_path: Path) -> None:
    encoded.clear()
    sweep = ("sweep.steps=[1,2]", "sweep.guidance.text=[1,2,4]", "num_samples=2", "limit=10")
    settings = make.generate(models, pairs, str(tmp_path), *sweep, "task.encoders.text=tests.test_cells:CountingText")
    assert len(run_rows(settings)) == 10 * 12
    facts = [ledger.shard_facts(o.uri) for o in ledger.data_objects(settings.output)]
    assert sum(f["encoded"] for f in facts) == 10 * 2  # texts and sketches
    assert len({f["sampler"] for f in facts}) == 1  # one model, loaded once
    assert Counter(encoded) == Counter(str(r["text"]) for r in tiny.rows(10))


def test_batches_hold_rows_of_one_loop_and_every_row_once() -> None:
    loops = [("ddim", steps) for _ in range(5) for steps in (1, 2, 3)]
    found = batches(loops, 4)
    assert sorted(i for batch in found for i in batch) == list(range(15))
    assert all(len({loops[i] for i in batch}) == 1 and len(batch) <= 4 for batch in found)
    assert all(batch == sorted(batch) for batch in found)


@pytest.mark.parametrize("rows", list(range(1, 20)))
def test_shards_of_a_sweep_are_large_enough_to_fill_their_batches(models: Models, rows: int) -> None:
    settings = make.generate(models, "in", "out", "batch_size=16", "shard_rows=16")
    loops = {("a", 1): rows, ("b", 2): rows}
    count = inputs_per_shard(settings, loops)
    places = sum(-(-count * n // 16) * 16 for n in loops.values())
    assert 1 - count * 2 * rows / places <= MOST_PADDING
    assert count * rows < 16 * (rows + 1)
    assert inputs_per_shard(settings, {("a", 1): rows}) == max(1, 16 // rows)


def test_variants_are_the_run_of_each_model(models: Models) -> None:
    found = variants(make.generate(models, "in", "out", "sweep.model=[a,b]", "sweep.steps=[1,2]"))
    assert [(v.model.path, dict(v.sweep)) for v in found] == [("a", {"steps": (1, 2)}), ("b", {"steps": (1, 2)})]
    plain = make.generate(models, "in", "out", "sweep.steps=[1,2]")
    assert variants(plain) == (plain,)


def test_a_plan_that_was_read_again_is_the_same(models: Models, pairs: str, place: str) -> None:
    settings = make.generate(models, pairs, place, "sweep.drop=[none,[text,sketch]]", "sweep.steps=[1,2]")
    assert ledger.load(place) is None
    assert adopt_or_make(settings, fingerprints(settings)) == ledger.load(place)
