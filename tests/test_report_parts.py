"""Parts of a page, each by itself: drawings, gates, map, album, command."""

import dataclasses
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from jobs.cli import compose_config, typed
from jobs.generate import reshape
from pipeline import plan as planning
from pipeline.adopt import adopt_or_make
from pipeline.build import build
from pipeline.cells import models as models_of
from pipeline.conditions import Condition
from pipeline.models.fusion import Fusion
from pipeline.report import architecture, configuration, distributions, facts, files, gallery, gates, repeat, tsne
from pipeline.report.album import Album
from pipeline.report.charts import histogram, intervals
from pipeline.report.choice import estimate
from pipeline.report.model import find
from pipeline.report.rows import first
from pipeline.report.section import Section
from pipeline.report.space import Point
from pipeline.report.spending import costs, failures
from pipeline.settings import Generate
from tests import make, synthetic, tiny

Models = dict[str, str]


def test_histograms_follow_the_page_and_bear_emptiness() -> None:
    drawn = histogram({"": np.array([0.1, 0.2, np.nan], np.float32)}, "score")
    assert drawn.svg.startswith('<svg fill="currentColor"')
    assert "var(--c0, #0072b2)" in drawn.svg
    assert drawn.png.startswith(b"\x89PNG")
    assert histogram({"": np.array([np.nan], np.float32)}, "score").svg.startswith("<svg")


def test_the_same_figure_gives_the_same_bytes() -> None:
    one, two = (intervals({"a": estimate(np.arange(5.0))}, "score", "name") for _ in range(2))
    assert one == two


def test_many_cells_become_the_best_one_against_the_others() -> None:
    cells = {str(i): np.full(3, i, np.float32) for i in range(6)}
    assert [len(v) for v in distributions.few(cells, "2").values()] == [3, 15]
    assert distributions.few({"a": cells["0"]}, "a") == {"a": cells["0"]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gates_read_from_the_file_are_those_of_the_network(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    fusion = Fusion({"text": 4, "sketch": 6}, {"text": 5, "sketch": 3}, {"sketch": [2]}, dim=8, hidden=16)
    torch.nn.init.normal_(fusion.gate[-1].weight)
    fusion = fusion.to(dtype)
    fusion.save_pretrained(tmp_path)
    saved = gates.read((tmp_path / architecture.WEIGHTS).read_bytes(), ["text", "sketch"])
    pooled = {"text": torch.randn(7, 5), "sketch": torch.randn(7, 3)}
    ones = torch.ones(7) > 0
    conditions = {m: Condition(x[:, None], ones[:, None], x, (), ones) for m, x in pooled.items()}
    t = torch.linspace(0, 999, 7)
    expected = fusion.float().gates(conditions, dict.fromkeys(pooled, ones), t)
    found = saved.gates({m: x.double().numpy() for m, x in pooled.items()}, t.double().numpy())
    for m, values in expected.items():
        assert found[m] == pytest.approx(values.detach().numpy(), abs=2e-3)


def test_the_diagram_is_drawn_from_the_folder_or_its_absence_told(models: Models, tmp_path: Path) -> None:
    output, plan = synthetic.run(models, tmp_path, 6, synthetic.by_text)
    drawn = architecture.section(facts.gather(output, plan))
    for word in ("SketchEncoder", "TextEncoder", "T2IAdapter", "Fusion", "UNet2DConditionModel", "AutoencoderTiny"):
        assert word in drawn.drawings["architecture"].svg
    assert drawn.values["directions"] == gates.DIRECTIONS
    assert drawn.tables["gates"].num_rows == 2 * len(gates.TIMESTEPS)
    assert find(plan, models["path"]).json("unet", "config.json")
    assert "another model now" in find(plan, models["judge"]).why
    gone = dataclasses.replace(plan.cells[0], model=str(tmp_path / "gone"))
    told = architecture.section(facts.gather(output, dataclasses.replace(plan, cells=(gone,))))
    assert "empty or does not exist" in told.values["why"]


def test_the_map_keeps_neighbours_together_and_is_the_same_twice() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 16, dtype=np.float32)
    space = tuple(
        Point(str(i), {"text": _near(centres[0], rng), "image": _near(centres[1], rng)}, {"": _near(centres[2], rng)})
        for i in range(20)
    )
    kinds, sources, vectors = tsne.points(space, "", "image")
    assert kinds[:3] == ["text", "reference", "result"]
    assert sources[:4] == ["0", "0", "0", "1"]
    places = tsne.embed(vectors)
    assert np.array_equal(places, tsne.embed(vectors))
    nearest = np.argsort(((places[:, None] - places[None]) ** 2).sum(-1), 1)[:, 1]
    assert np.mean([kinds[i] == kinds[n] for i, n in enumerate(nearest)]) > 0.95
    assert tsne.points(space, "other", "image")[0].count("result") == 0


def test_a_map_of_results_that_are_all_the_same_is_one_point() -> None:
    places = tsne.embed(np.full((200, 8), 8**-0.5, np.float32))
    assert places.shape == (200, 2)
    assert not places.any()


def _near(centre: Any, rng: np.random.Generator) -> Any:
    moved = centre + 0.05 * rng.normal(size=centre.shape)
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def test_an_album_embeds_small_pictures_and_links_what_is_large_or_too_much() -> None:
    small, large = tiny.png(Image.new("RGB", (32, 32), "red")), tiny.png(Image.new("RGB", (400, 300), "blue"))
    album = Album(100_000)
    shown = album.picture({"bytes": small, "path": None})
    assert shown
    assert shown.src.startswith("data:image/webp;base64,")
    assert shown.full == ""
    reduced = album.picture(large)
    assert reduced
    assert reduced.src.startswith("data:")
    assert album.files[reduced.full] == large
    album.left = 10
    linked = album.picture(small)
    assert linked
    assert linked.src == linked.full
    assert album.files[linked.src] == small
    assert album.picture(None) is None
    assert album.picture(b"no picture") is None


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["guidance=single", "guidance.all=2.5", "guidance.interval=[0.5,4]", "seed=7", "scheduler=euler"],
        ["sweep.guidance.text=[1,2.5]", "sweep.drop=[none,[text,sketch]]", "num_samples=2", "input.keep=[group,n]"],
        ["where=group == 'even' and n > 3", "limit=5", "drop=[text]", "task.best_by=-delta_e", "select.top_k=1"],
        ["sweep.steps=[2,3]", "sweep.scheduler=[ddim,euler]", "sweep.model=[some/a,some/b]"],
        ["input.columns.text=null", "input.columns.sketch='sketch'", "batch_size=3", "new_since=[]"],
        ["task=music_to_dance", "input.columns={id: id, text: text, music: null, motion: null, beats: null}"],
        [
            "task=dance_editing",
            "guidance=composed",
            "guidance.text=2",
            "input.columns={music: null, beats: null, motion: image}",
        ],
        ["family=flux", "model.adapters=[{path: a/b, scale: 0.5}]", "model.loras=[c]", "model.vae=s3://d/e"],
        [
            "task=edit",
            "family=instruct_pix2pix",
            "guidance=chained",
            "task.options.strength=0.5",
            "input.columns.mask=null",
        ],
    ],
)
def test_the_command_makes_the_same_plan_again(models: Models, pairs: str, tmp_path: Path, more: list[str]) -> None:
    settings = make.generate(models, pairs, str(tmp_path / "a b"), *more)
    weights = [{"model": "m", "judge": "j"}] * len(models_of(settings))
    identity = planning.identity(settings, weights)
    made = adopt_or_make(settings, weights)
    words = shlex.split(repeat.command(made, "else where"))
    assert words[:2] == ["python", "jobs/generate.py"]
    values: Any = OmegaConf.to_container(compose_config("generate", words[2:]), resolve=True)
    again = build(Generate, reshape(values, typed(words[2:])))
    assert again.output == "else where"
    assert json.dumps(planning.identity(again, weights)) == json.dumps(identity)
    assert models_of(again) == models_of(settings)
    assert dataclasses.replace(again.model, path=settings.model.path) == settings.model
    assert not any(w.startswith(("task.encoders", "shard_bytes", "num_samples=1")) for w in words)


HARD = ["plain", "with space", 'quo"te', "it's", "back\\slash", "end\\", "a,b", "null", "1", ""]
HARD += ["/abs/p-a.th", "s3://b/c", "starter:samples/x.parquet", "a%b+c@d"]


@pytest.mark.parametrize("value", HARD)
def test_text_comes_back_as_it_was(value: str) -> None:
    assert compose_config("generate", [f"where={repeat.text(value)}"]).where == value


def test_files_hold_what_the_page_was_drawn_from(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y, z"]})
    drawn = intervals({"a": estimate(np.arange(5.0))}, "score", "name")
    files.write(str(tmp_path), [Section("s", "S", {}, {"d": drawn}, {"t": table})], Album(0))
    assert pq.read_table(tmp_path / "tables" / "t.parquet").equals(table)
    assert (tmp_path / "tables" / "t.csv").read_text().splitlines() == ['"a","b"', '1,"x"', '2,"y, z"']
    assert (tmp_path / "figures" / "d.svg").read_text() == drawn.svg
    assert Image.open(io.BytesIO((tmp_path / "figures" / "d.png").read_bytes())).width > 100


def test_columns_of_few_values_are_groups_to_filter_by_and_all_are_words(models: Models, tmp_path: Path) -> None:
    output, plan = synthetic.run(models, tmp_path, 30, synthetic.by_text, "input.keep=[group]")
    section = gallery.sheet(facts.gather(output, plan))
    assert section
    assert section.values["groups"] == ["group = even", "group = odd"]
    assert section.values["items"][1]["words"] == "in-00001 a green box 1 group = odd"


def test_costs_failures_and_settings_are_told(models: Models, tmp_path: Path) -> None:
    output, plan = synthetic.run(models, tmp_path, 100, synthetic.by_text)
    found = facts.gather(output, plan)
    stages = {s["stage"]: s for s in costs(found).values["stages"]}
    assert stages["sample"]["share"] == pytest.approx(0.8)
    assert stages["sample"]["rows_per_second"] == pytest.approx(100 / stages["sample"]["seconds"])
    assert failures(found).values["reasons"][0]["rows"] == found.failed == 2
    assert configuration.section(found).values["versions"] == [{"torch": "2", "device": "cpu"}]
    assert first(str(Path(output) / "data" / "00000000.parquet"), "source_id") == "in-00000"
