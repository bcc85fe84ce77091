"""The task music_to_dance through the same plan, stages, shards, scores, report, evaluation, search and export."""

import io
import json
import tarfile
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import audit, ledger, preview, run, storage
from pipeline.evaluation import aggregate
from pipeline.export import export
from pipeline.search.answer import search
from pipeline.settings import Export, Generate, Search
from tests import make, tiny_dance
from tests.test_stages import run as stages

Models = dict[str, str]
pytestmark = pytest.mark.timeout(600)
MORE = ("input.keep=[genre,audio]", "num_samples=2", "steps=2", "actors.samplers=1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return tiny_dance.models(tmp_path_factory.mktemp("dance-models"))


@pytest.fixture(scope="module")
def whole(folders: Models, tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """A finished run of six inputs, two samples of each, made in this process."""
    root = tmp_path_factory.mktemp("dance")
    source = tiny_dance.write(root / "in.parquet", tiny_dance.rows(6))
    settings = tiny_dance.generate(folders, str(source), str(root / "out"), *MORE)
    stages(settings, weights=run.fingerprints(settings))
    plan = ledger.load(settings.output)
    assert plan is not None
    assert run.conclude(settings, plan) == f"{root}/out/report/index.html"
    return settings


def test_a_preview_counts_what_is_missing(whole: Generate) -> None:
    plan = ledger.load(whole.output)
    assert plan is not None
    assert preview.missing(plan, whole) == {"text": 0, "music": 0, "motion": 0, "beats": 0}


def test_every_dance_is_there_as_long_as_its_music_and_scored(whole: Generate) -> None:
    plan = ledger.load(whole.output)
    assert plan is not None
    assert audit.audit(whole.output, plan).holds
    rows = pq.read_table(f"{whole.output}/data").to_pylist()
    assert len(rows) == 12
    for row in rows:
        frames = tiny_dance.frames(int(row["source_id"].removeprefix("dance-")))
        assert (row["status"], row["n_frames"], row["n_joints"], row["fps"]) == ("ok", frames, 22, 30.0)
        assert np.isfinite(np.array(row["motion"], np.float32).reshape(frames, 22, 3)).all()
        assert set(row["scores"]) == set(whole.task.scores)
        assert row["scores"]["similarity_motion"] is not None
        assert row["present"] == {"text": True, "music": True, "motion": True, "beats": True}
        assert set(row["input_embeddings"]) == {"text", "music", "motion"}
        assert row["guidance"] == {"music": None, "text": None, "all": 2.0}
    assert len({tuple(r["motion"][:99]) for r in rows}) == 12


def test_on_ray_it_is_the_same_to_the_bit(whole: Generate, folders: Models, tmp_path: Path, ray_session: None) -> None:
    settings = tiny_dance.generate(folders, whole.input.path, str(tmp_path), *MORE, "preview=true")
    assert "6 inputs x 1 cells x 2 samples = 12 rows" in run.generate(settings)  # which makes one shard
    columns = ["row_id", "motion", "embedding", "scores"]
    made, there = (pq.read_table(ledger.shard_uri(s.output, 0)).select(columns) for s in (settings, whole))
    assert made.equals(there)


def test_the_page_shows_dances_music_and_beats_and_plays(whole: Generate) -> None:
    text = Path(whole.output, "report", "index.html").read_text()
    assert text.count('class="wide"') > 24
    assert text.count('data-full="data:image/gif;base64,') >= 12  # best and worst
    assert text.count('data-full="data:video/mp4;base64,') == 6  # with the answer, to be heard
    assert "a person dances salsa" in text
    for words in ("foot skating", "similarity to the music", "Contact sheet", "MotionTransformer"):
        assert words in text


def test_bad_music_and_bad_dances_are_rows_with_a_reason(folders: Models, tmp_path: Path) -> None:
    rows = tiny_dance.rows(5)
    rows[0]["audio"] = {"bytes": b"no music", "path": None}
    rows[1]["motion"] = [0.0] * 65
    rows[2] |= {"audio": None, "beats": None}
    rows[3] |= {"audio": None, "text": None}
    source = tiny_dance.write(tmp_path / "in.parquet", rows)
    found = stages(tiny_dance.generate(folders, str(source), str(tmp_path / "out"), "steps=1")).to_pylist()
    assert [r["status"] for r in found] == ["failed", "failed", "ok", "failed", "ok"]
    said = [r["error"]["message"] if r["error"] else "" for r in found]
    assert "column 'music' is not readable audio" in said[0]
    assert "column 'motion' holds 65 values" in said[1]
    assert "none of its conditions (music, text)" in said[3]
    assert found[2]["n_frames"] == tiny_dance.SECONDS * 30  # no music ends it
    assert found[2]["scores"]["beat_alignment"] is None


def test_it_is_evaluated_searched_and_exported(whole: Generate, tmp_path: Path) -> None:
    said = aggregate.evaluate(make.evaluate(whole.output, f"training.path={whole.input.path}", "by=[]"))
    body = json.loads(Path(said.splitlines()[-1]).read_text())["groups"]["all"]
    assert {"similarity_music", "jerk", "diversity", "r1_music", "r1_reference", "nearest_training"} <= set(body)
    assert not {n for n in body if n.startswith(("sketch", "delta"))}
    music = tmp_path / "piece.ogg"
    music.write_bytes(tiny_dance.rows(1)[0]["audio"]["bytes"])
    blank = dict.fromkeys(("text", "image", "sketch", "row", "where", "index", "judge"))
    asked = Search(whole.output, audio=str(music), of="music", top_k=3, output=str(tmp_path / "search"), **blank)  # type: ignore[arg-type]
    said = search(asked)
    assert said.splitlines()[1].split()[:2] == ["1", "1.0000"]
    assert Path(said.splitlines()[-1]).read_text().count("<img") >= 7


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_selected_dances_are_training_data(whole: Generate, tmp_path: Path, form: str) -> None:
    export(Export(whole.output, str(tmp_path / "out"), form, 100))
    [part] = storage.list_objects(str(tmp_path / "out"))
    if form == "parquet":
        rows = pq.read_table(part.uri).to_pylist()
        assert {len(r["motion"]) // 66 for r in rows} == {36, 60}
        features = datasets.Features.from_arrow_schema(pq.read_schema(part.uri))
        assert isinstance(features["music"], datasets.Audio)
    else:
        with tarfile.open(part.uri) as tar:
            names = tar.getnames()
            member = tar.extractfile(next(n for n in names if n.endswith("motion.npy")))
            assert member
            assert np.load(io.BytesIO(member.read())).shape[1:] == (22, 3)
        assert {n.split(".", 1)[1] for n in names} >= {"motion.npy", "music.ogg", "txt", "json"}


def test_hugging_face_datasets_reads_motions_as_numbers_and_music_as_audio(whole: Generate) -> None:
    schema = pq.read_schema(ledger.data_objects(whole.output)[0].uri)
    features = datasets.Features.from_arrow_schema(schema)
    assert isinstance(features["audio"], datasets.Audio)
    assert features["motion"].feature.dtype == "float32"
