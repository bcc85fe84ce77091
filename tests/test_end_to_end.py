"""Whole runs on Ray: from Parquet to a report, on local files and on S3, and what others read in the result."""

import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import audit, flow, ledger, progress, run, storage
from pipeline.adopt import adopt_or_make
from pipeline.settings import Actors, RunError, SettingsError
from tests import make, tiny
from tests.test_stages import RESULT, bad_rows
from tests.test_stages import run as stages

Models = dict[str, str]
pytestmark = pytest.mark.usefixtures("ray_session")


def results(place: str) -> dict[str, dict[str, object]]:
    rows = [r for o in ledger.data_objects(place) for r in _read(o.uri)]
    return {str(r["row_id"]): r for r in rows}


def _read(uri: str) -> list[dict[str, object]]:
    with storage.open_parquet(uri) as parquet:
        found: list[dict[str, object]] = parquet.read(columns=RESULT).to_pylist()
    return found


@pytest.fixture(scope="module")
def whole(models: Models, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run with one sampler."""
    place = str(tmp_path_factory.mktemp("whole"))
    page = run.generate(make.generate(models, pairs, place, "input.keep=[group]"))
    assert page == f"{place}/report/index.html"
    return place


def test_the_law_holds_and_success_comes_last(whole: str) -> None:
    plan = ledger.load(whole)
    assert plan is not None
    assert audit.audit(whole, plan).holds
    body = storage.read_json(ledger.success_uri(whole))
    assert (body["planned"], body["ok"], body["failed"]) == (24, 24, 0)
    assert Path(whole, "_SUCCESS").stat().st_mtime >= Path(whole, "report", "index.html").stat().st_mtime


def test_bytes_do_not_depend_on_actors_store_or_shard_order(
    whole: str, models: Models, pairs: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = flow.execute
    monkeypatch.setattr(flow, "execute", lambda job, shards, pools: execute(job, list(shards)[::-1], pools))
    place = f"{s3}/twice"
    run.generate(make.generate(models, pairs, place, "actors.samplers=2", "input.keep=[group]"))
    assert results(place) == results(whole)
    assert len(results(place)) == 24
    assert storage.stat(f"{place}/report/index.html").size > 10_000


def test_bad_rows_end_a_run_with_its_reasons_and_leave_the_others_bytes(models: Models, tmp_path: Path) -> None:
    good = tiny.write(tmp_path / "good" / "in.parquet", tiny.rows(8))
    bad = tiny.write(tmp_path / "bad" / "in.parquet", bad_rows())
    settings = make.generate(models, str(bad), str(tmp_path / "b"), "shard_rows=8")
    with pytest.raises(
        RunError, match="5 of 8 rows failed, more than failures.max_fraction=0.05: 5 x decode MediaError"
    ):
        run.generate(settings)
    assert not storage.stat_or_none(ledger.success_uri(settings.output))
    run.generate(make.generate(models, str(bad), str(tmp_path / "b"), "shard_rows=8", "failures.max_fraction=0.9"))
    assert storage.stat_or_none(ledger.success_uri(settings.output))
    # The same rows without the bad ones, in this process and without Ray.
    whole = {
        r["row_id"]: r
        for r in stages(make.generate(models, str(good), str(tmp_path / "a"), "shard_rows=8")).to_pylist()
    }
    weights = run.fingerprints(settings)
    kept = {k: v for k, v in results(settings.output).items() if v["image"] is not None}
    assert len(kept) == 3
    by_source = {r["source_id"]: {n: r[n] for n in RESULT[1:]} for r in whole.values()}
    plan = adopt_or_make(settings, weights)
    source = {r["row_id"]: r["source_id"] for r in ledger.shard_rows(settings.output, plan, 0).to_pylist()}
    assert {source[k]: {n: v[n] for n in RESULT[1:]} for k, v in kept.items()} == {
        source[k]: by_source[source[k]] for k in kept
    }


def test_a_run_that_goes_wrong_ends_early(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "JUDGE_FROM", 4)
    rows = [{**r, "text": None, "sketch": None} for r in tiny.rows(400)]
    source = tiny.write(tmp_path / "in.parquet", rows)
    settings = make.generate(models, str(source), str(tmp_path / "out"), "shard_rows=1", "steps=1")
    with pytest.raises(RunError, match="rows failed"):
        run.generate(settings)
    assert len(ledger.done(settings.output)) < 400


def test_a_finished_run_starts_neither_ray_nor_a_model(whole: str, models: Models, pairs: str) -> None:
    script = f"""
import sys
import time
from tests import make
from pipeline import run
print(run.generate(make.generate({models!r}, {pairs!r}, {whole!r}, "input.keep=[group]")))
print([m for m in ("torch", "ray", "diffusers", "open_clip") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{whole}/report/index.html", "[]"]
    assert "0 to do" in done.stderr


def test_a_preview_runs_one_shard_and_a_fault_of_the_run_fails_no_row(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", tiny.rows(8))
    said = run.generate(make.generate(models, str(source), str(tmp_path / "out"), "preview=true"))
    assert "8 inputs x 1 cells x 1 samples = 8 rows in 2 shards, 2 of them to do" in said
    assert "one shard of 4 rows took" in said
    settings = make.generate(models, str(source), str(tmp_path / "out"))
    tiny.write(source, tiny.rows(9))
    with pytest.raises(RunError, match=r"has changed since it was planned.*the same command goes on"):
        run.generate(settings)
    assert ledger.done(settings.output) == [0]
    assert not storage.stat_or_none(ledger.success_uri(settings.output))


def test_gpus_that_are_not_there_are_named(models: Models, pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the cluster has 0 GPUs; use cluster=local"):
        run.generate(make.generate(models, pairs, str(tmp_path), "cluster=gpu"))
    with pytest.raises(SettingsError, match="GPUs"):
        flow.sized(Actors(1, None, 0.5, 1, 0.0, 1, 1, 0.0, autoscaling=False))
    assert flow.sized(Actors(3, None, 0.5, 1, 0.0, 1, 1, 0.0, autoscaling=True)) == 3  # they wait for their nodes
    with pytest.raises(SettingsError, match=r"needs actors\.samplers"):
        flow.sized(Actors(0, None, 0.5, 1, 0.0, 1, 1, 0.0, autoscaling=True))


def test_each_actor_loads_each_model_once(models: Models, pairs: str, tmp_path: Path) -> None:
    other = shutil.copytree(models["path"], tmp_path / "other")
    (other / "README.md").write_text("other content, another model\n")
    sweep = f"sweep.model=['{models['path']}','{other}']"
    settings = make.generate(models, pairs, str(tmp_path / "out"), sweep, "shard_rows=2", "limit=8")
    run.generate(settings)
    plan = ledger.load(settings.output)
    assert plan is not None
    facts = [ledger.shard_facts(o.uri) for o in ledger.data_objects(settings.output)]
    loads = {(f["sampler"], plan.model_of(f["shard"])) for f in facts}
    assert len(facts) == 8
    assert {model for _, model in loads} == {0, 1}
    assert len(loads) == 2
    assert len({sampler for sampler, _ in loads}) == len(loads)  # an actor has one model all its life


def test_stages_without_room_on_any_node_are_named() -> None:
    fits, large = flow.Pool(1, 1, cpus=1.0), flow.Pool(1, 1, cpus=64.0, gpus=2.0)
    assert flow.homeless({("load:Load",): fits}) == ""
    assert flow.homeless({("load:Load",): fits, ("sample:Sample",): large}) == "sample (64 CPUs, 2 GPUs)"


def test_trouble_is_said_again_and_again_while_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching(iter(["", "no room", "no room", *[""] * 1000]).__next__, seconds=0.01):
        time.sleep(0.3)
    assert capsys.readouterr().err == "no room\nno room\n"


def test_several_nodes_share_no_local_folder(models: Models, pairs: str, tmp_path: Path) -> None:
    settings = make.generate(models, pairs, str(tmp_path))
    with pytest.raises(
        SettingsError, match=r"output=.* is a local path, but the cluster has 2 nodes.*storage.shared=true"
    ):
        run._refuse_local_paths(settings, nodes=2)
    run._refuse_local_paths(make.generate(models, pairs, str(tmp_path), "storage.shared=true"), nodes=2)


def test_hugging_face_datasets_shows_images(whole: str, tmp_path: Path) -> None:
    data = datasets.load_dataset(
        "parquet", data_files=f"{whole}/data/*.parquet", split="train", cache_dir=str(tmp_path)
    )
    assert len(data) == 24
    assert isinstance(data[0]["image"], Image.Image)
    assert data[0]["image"].size == (tiny.SIZE, tiny.SIZE)
    assert len(data[0]["embedding"]) == 16


def test_pyarrow_pandas_and_duckdb_read_it_plainly(whole: str) -> None:
    table = pq.read_table(f"{whole}/data")
    frame = pd.read_parquet(f"{whole}/data")
    asked = duckdb.sql(
        "select status, count(*), avg(scores.clip_text), any_value(image.bytes) "
        f"from '{whole}/data/*.parquet' group by status"
    ).fetchall()
    assert table.num_rows == len(frame) == 24
    assert [(status, n) for status, n, _, _ in asked] == [("ok", 24)]
    assert asked[0][2] == pytest.approx(np.mean([s["clip_text"] for s in frame.scores]), abs=1e-5)
    picture = Image.open(io.BytesIO(asked[0][3]))
    assert picture.size == (tiny.SIZE, tiny.SIZE)
    assert json.loads(table.schema.metadata[b"huggingface"])["info"]["features"] == {"image": {"_type": "Image"}}
