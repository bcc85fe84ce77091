"""The benchmark itself (pipeline/bench): what it keeps, what it makes of it, and what is exact and needs no clock."""

import dataclasses
import math
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf

from jobs.bench import bench as job
from jobs.cli import compose_config
from pipeline.bench import corpus, engine, inside, machine, noop, page, programs, ratios, ray_map, table
from pipeline.bench.drawing import Parts
from pipeline.bench.rows import Kept, Row, Timed, pairs, reached
from pipeline.bench.settings import Bench
from pipeline.bench.watch import BenchError, Watch, watch
from pipeline.build import build
from pipeline.conf import CONF
from pipeline.diffusion.sampler import sigma_of
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.models import checkpoint
from pipeline.settings import RunError, SettingsError
from tests import make
from tests.test_stages import run

Models = dict[str, str]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    given = [f"output={tmp_path}", "rows=8", "batch_size=4", "steps=4", "engine_rows=64", "max_load=1e9"]
    return build(Bench, OmegaConf.to_container(compose_config("bench", given)))


def timed(rate: float) -> Timed:
    return Timed(rows=100, seconds=100 / rate, startup=3.0, cpu=50.0, whole=10.0)


def test_targets_have_a_direction() -> None:
    assert reached(1.4, ">= 1.3")
    assert reached(1.2, ">= 1.3") is False
    assert reached(3.0, "<= 3.05")
    assert reached(1.0, "== 1")
    assert reached(0.99, "== 1") is False
    assert reached(9.0, "") is None


def test_a_ratio_is_the_median_of_its_pairs() -> None:
    row = pairs(
        "a / b", "times", ">= 2", [(timed(4), timed(2)), (timed(9), timed(3)), (timed(2), timed(2))], ("a", "b")
    )
    assert (row.value, row.least, row.most, row.n, row.met) == (2.0, 1.0, 3.0, 3, True)
    assert row.cpu == {"a": 0.5, "b": 0.5}
    assert row.more["s until steady, a"] == 3.0


def test_what_was_measured_is_not_measured_again(bench: Bench) -> None:
    kept = Kept(bench)
    assert kept.timed("x", lambda: timed(4)).rate == 4
    assert kept.timed("x", lambda: timed(5)).rate == 4
    assert Kept(dataclasses.replace(bench)).timed("x", lambda: timed(5)).rate == 4


def test_the_page_shows_every_row_that_there_is_and_names_those_that_are_not(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "page.md"
    own.write_text(f"before {page.MARKS[0]} old {page.MARKS[1]} after")
    row = Row("a / b", 1.25, "times", ">= 1.3", 1.2, 1.3, 5, {"a": 0.5}, {"rows/s, a": 3.0, "both": [1.5, 2000.0]})
    table.refuse_others(bench, tmp_path / "settings.json")
    told = {"row": "plain", "command": table.command(bench, "plain"), "date": "2026-01-02"}
    table.write(tmp_path / "rows" / "plain.json", [{**row.to_json(), **told}])
    table.collect(dataclasses.replace(bench, page=str(own)), tmp_path)
    text = own.read_text()
    assert "old" not in text
    assert text.startswith("before")
    assert f"Measured 2026-01-02 at commit {machine.commit()}, on " in text
    assert "| `plain` | a / b | 1.25 times | 1.2 to 1.3, n = 5 | >= 1.3 | **no** | a 0.5 |  |" in text
    assert "| `best` |  | not measured yet |" in text
    assert "| a / b | rows/s, a | 3 |" in text
    assert "| a / b | both | 1.5, 2,000 |" in text
    assert own.with_suffix(".json").read_text() == (tmp_path / "benchmarks.json").read_text()
    with pytest.raises(SettingsError, match="marks"):
        page.between("no marks", "")


def test_a_row_says_how_it_is_measured_again(bench: Bench) -> None:
    said = table.command(dataclasses.replace(bench, interval=(1.0, 2.0)), "best")
    keys = "rows=8 batch_size=4 steps=4 'interval=[1.0,2.0]' engine_rows=64"
    assert said == f"python jobs/bench.py 'only=[best]' {keys}"
    again = shlex.split(said)[2:]
    assert build(Bench, OmegaConf.to_container(compose_config("bench", again))).interval == (1.0, 2.0)


def test_a_busy_machine_and_unknown_rows_are_refused(bench: Bench) -> None:
    with pytest.raises(RunError, match="max_load"):
        table.refuse_load(-1.0)
    with pytest.raises(SettingsError, match="only=nothing"):
        job(dataclasses.replace(bench, only=("nothing",)))


def test_measurements_of_other_settings_are_not_mixed(bench: Bench) -> None:
    first = dataclasses.replace(bench, only=("forwards",))
    job(first)
    job(dataclasses.replace(first, pairs=7, max_load=1e8))
    with pytest.raises(SettingsError, match="of other rows, interval;"):
        job(dataclasses.replace(first, rows=9, interval=(1.0, 2.0)))


def test_measurements_say_which_code_and_machine_they_hold_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine.described()
    of = ["git", "log", "--format=%H", "--", "pipeline", "jobs", "conf"]
    last = subprocess.run(of, cwd=machine.ROOT, capture_output=True, text=True).stdout.splitlines()[0]
    assert last.startswith(found["commit"].removesuffix("+"))
    assert torch.__version__.startswith(found["torch"].split("+")[0])
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    with pytest.raises(SettingsError, match="git checkout"):
        machine.commit()


def test_a_command_is_watched_with_all_that_it_starts(tmp_path: Path) -> None:
    burn = "import time\nend = time.process_time() + 1.0\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('done')"
    found = watch([sys.executable, "-c", parent], tmp_path / "log")
    assert found.said.strip() == "done"
    assert found.cpu(found.began, found.ended) > 0.5
    assert found.peak("total") > 0
    assert not found.libraries
    with pytest.raises(BenchError, match="exit code 3"):
        watch([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")


def test_a_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    late = f"import time, pathlib; pathlib.Path({str(mark)!r}).touch(); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {late!r}])"
    before = {process.pid for process in psutil.process_iter()}
    watch([sys.executable, "-c", parent], tmp_path / "log", Watch(until=mark.exists))
    after = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and str(mark) in str(p.info["cmdline"])]
    assert [p for p in after if p.status() != psutil.STATUS_ZOMBIE] == []


def test_the_steady_state_begins_after_the_first_files(tmp_path: Path) -> None:
    import os

    watched = watch([sys.executable, "-c", ""], tmp_path / "log")
    for number, when in enumerate((-5.0, 10.0, 12.0, 14.0)):  # the first by a command before this one
        path = corpus.sample(tmp_path / "data" / f"{number}.parquet", 5)
        os.utime(path, (watched.began + when, watched.began + when))
    found = programs.steady(watched, programs.written(watched, tmp_path / "data"), 1)
    assert (found.rows, round(found.seconds, 3), round(found.startup, 3)) == (10, 4.0, 10.0)
    assert programs.steady(watched, [], 1).rows == 0


def test_inputs_are_as_many_and_as_heavy_as_asked_for(bench: Bench) -> None:
    table = pq.read_table(programs.heavy(bench, 64))
    sizes = [len(image["bytes"]) for image in table["image"].to_pylist()]
    assert len(set(table["id"].to_pylist())) == 64
    assert min(sizes) >= corpus.BYTES[0]
    assert max(sizes) < corpus.BYTES[1]
    assert len(set(pq.read_table(programs.drawings(bench))["id"].to_pylist())) == 8


def test_models_that_do_nothing_go_through_all_stages(models: Models, bench: Bench, place: str) -> None:
    source = str(programs.heavy(bench, 64))
    given = make.generate(models, source, place, *noop.ARGUMENTS, "shard_rows=16", "batch_size=8")
    rows = run(given).to_pylist()
    assert len(rows) == 64
    assert {row["status"] for row in rows} == {"ok"}
    assert {len(row["pixels"]) for row in rows} == {noop.SIDE**2 * 3}
    images = {row["id"]: row["image"]["bytes"] for row in pq.read_table(source).to_pylist()}
    assert {row["source_id"]: row["image"]["bytes"] for row in rows} == images


def test_forwards_are_counted_exactly_as_predicted(bench: Bench) -> None:
    row = ratios.forwards(bench, Kept(bench))
    assert row.value == 1
    assert row.more["with interval"] == 4 * (3 * row.more["guided steps"] + 4 - row.more["guided steps"])
    assert row.more["one branch"] == 4 * 4
    assert 0 < row.more["guided steps"] < 4


def test_guided_steps_are_counted_by_sigma(models: Models) -> None:
    parts = Parts(models["path"])
    for steps in (4, 20):
        scheduler = make_scheduler("dpmpp_2m", checkpoint.scheduler_config(Path(models["path"])))
        scheduler.set_timesteps(steps)
        sigmas = sorted(sigma_of(scheduler, index) for index in range(steps))
        assert inside.guided_steps(parts, steps, (0.0, math.inf)) == steps
        assert inside.guided_steps(parts, steps, (math.inf, math.inf)) == 0
        between = (sigmas[0] + sigmas[1]) / 2
        assert inside.guided_steps(parts, steps, (between, math.inf)) == steps - 1


def test_every_input_is_encoded_once_for_all_its_cells(models: Models, pairs: str, place: str) -> None:
    swept = ["limit=4", "sweep.guidance.text=[1,2,4]", "num_samples=2", "shard_rows=24"]
    run(make.generate(models, pairs, place, *swept))
    from pipeline import ledger

    facts = [ledger.shard_facts(o.uri) for o in ledger.data_objects(place)]
    assert sum(own["encoded"] for own in facts) == 4 * 2  # inputs x conditions, of 24 rows


def test_every_row_of_the_table_is_a_function_by_its_name() -> None:
    text = (CONF / "bench.yaml").read_text("utf-8")
    assert "# rows: " + " ".join(table.MEASURES).replace("\n", " ") in text
    assert {f.__module__ for f in table.MEASURES.values()} == {ratios.__name__, engine.__name__}


def test_daft_needs_an_environment_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "settle", lambda: None)  # nothing is timed here
    with pytest.raises(SettingsError, match="daft= must name"):
        job(dataclasses.replace(bench, only=("daft",)))
    with pytest.raises(BenchError, match=r"exit code 1 of .* -m pipeline.bench.daft_map"):  # Daft is not here
        programs.daft(programs.asked(bench, str(bench.output)), sys.executable)


def test_a_peer_gives_back_what_it_gets_and_notes_when(bench: Bench, tmp_path: Path) -> None:
    notes = ray_map.Notes(str(tmp_path / "out"))
    notes.folder.mkdir()
    for rows in (2, 1):
        notes.add(rows)
    found = notes.steady(1e12)
    assert (found["rows"], found["done"]) == (1, 1e12)
    assert ray_map.nothing([1, 2]) == [1, 2]
