"""The job of retrieval: from a query to a table and a page."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from jobs import search as job
from jobs.cli import compose_config
from pipeline import audit, storage
from pipeline.adopt import adopt_or_make
from pipeline.build import build
from pipeline.conditions.clip import Clip
from pipeline.run import fingerprints
from pipeline.search.answer import table
from pipeline.search.hits import Hit
from pipeline.search.page import name
from pipeline.search.query import read
from pipeline.settings import Generate, Search, SettingsError
from tests import make, tiny
from tests.test_report import Page
from tests.test_stages import bad_rows, run

Models = dict[str, str]


@pytest.fixture(scope="module")
def finished(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """A finished run of 8 inputs of which 3 went well (0, 4 and 7), in two cells."""
    folder = tmp_path_factory.mktemp("searched")
    source = tiny.write(folder / "in.parquet", bad_rows())
    settings = make.generate(models, str(source), str(folder / "run"), "sweep.drop=[none,text]")
    weights = fingerprints(settings)
    run(settings, weights=weights)
    audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, weights)), {})
    return settings


@pytest.fixture
def asked(finished: Generate, models: Models, tmp_path: Path) -> Any:
    """Runs the job with some keys; the table's lines, the page and its JSON."""

    def ask(*keys: str) -> tuple[list[str], str, dict[str, Any]]:
        given = [f"run={finished.output}", f"output={tmp_path}/found", *keys]
        values = cast("dict[str, Any]", OmegaConf.to_container(compose_config("search", given), resolve=True))
        *lines, page = job.search(build(Search, values)).splitlines()
        return lines, Path(page).read_text(), json.loads(Path(page).with_suffix(".json").read_text())

    return ask


@pytest.mark.parametrize("role", ["text", "sketch", "image"])
def test_an_input_is_found_by_itself(asked: Any, tmp_path: Path, role: str) -> None:
    row = bad_rows()[4]
    query = row["text"]
    if role != "text":
        (tmp_path / "query").write_bytes(row[role]["bytes"])  # type: ignore[index]
        query = str(tmp_path / "query")
    lines, _, found = asked(f"{role}={query}", f"of={role}")
    assert found["hits"][0]["source_id"] == "box-004"
    assert found["hits"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert len(found["hits"]) == 3  # each input once, though each has two results; none of the five that failed
    assert lines[1].split()[0] == "1"
    assert "a black box" in lines[1]


def test_a_row_is_searched_with_by_its_stored_embedding_and_no_model(
    asked: Any, monkeypatch: pytest.MonkeyPatch, finished: Generate
) -> None:
    data = pa.concat_tables(pq.read_table(o.uri) for o in storage.list_objects(f"{finished.output}/data"))
    good = [r for r in data.to_pylist() if r["status"] == "ok"]
    bad = next(r for r in data.to_pylist() if r["status"] == "failed")
    monkeypatch.delattr(Clip, "load")
    _, text, found = asked(f"row={good[0]['row_id']}", "judge=/nowhere")
    assert {h["row_id"] for h in found["hits"]} == {r["row_id"] for r in good[1:]}
    x = np.array([r["embedding"] for r in good], float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert [h["similarity"] for h in found["hits"]] == pytest.approx(sorted(x[1:] @ x[0], reverse=True))
    page = Page(text)
    assert not page.open
    assert not page.links
    assert len(page.images) == 1 + 5 * 3  # the query; result, sketch and image of each answer
    assert all(src.startswith("data:image/webp;base64,") for src in page.images)
    _, _, found = asked(f"row={good[0]['row_id']}", "of=image")
    assert len(found["hits"]) == 3  # its own input is an answer as any other
    with pytest.raises(SettingsError, match="failed in this run"):
        asked(f"row={bad['row_id']}")


def test_an_answer_is_the_same_by_an_index(asked: Any) -> None:
    _, plain, sure = asked("text=red", "where=cell in ['drop=none', 'drop=text']")
    _, page, near = asked("text=red", "index=faiss")
    assert near["hits"] == sure["hits"]
    assert (sure["exact"], near["exact"]) == (True, False)
    assert "approximate" in page
    assert "approximate" not in plain


def test_texts_are_shown_as_they_are_and_never_run(asked: Any) -> None:
    _, page, found = asked('text="<script>alert(1)</script>"', "top_k=1")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page
    assert len(found["hits"]) == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((), "give one of text=, image=, sketch=, audio=, row="),
        (("audio=a.wav",), "audio= cannot be compared in this run; its media are image, sketch, text"),
        (("text=a", "row=b"), "not text= and row="),
        (("text=' '",), "is empty"),
        (("text=a", "of=music"), "this run has embeddings of result, text, sketch, image"),
        (("text=a", "top_k=0"), "top_k must be at least 1"),
        (("text=a", "index=annoy"), "known: faiss"),
        (("text=a", "index=faiss", "where=cell == 'a'"), "needs exact search"),
        (("text=a", "where=cell == 'a'"), "nothing to find"),
        (("row=abc",), "is not a row of this run"),
        (("text=a", "judge=starter:judge"), "is another model"),
        (("text=a", "judge=/no/such"), "is empty or does not exist"),
        (("image=/no/such.png",), "there is no object"),
        (("image=conf/search.yaml",), "is not a readable image"),
    ],
)
def test_mistakes_are_answered_in_one_line(asked: Any, keys: tuple[str, ...], words: str) -> None:
    with pytest.raises((SettingsError, storage.StorageError)) as caught:
        asked(*keys)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_answers_stand_without_their_inputs(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny.write(tmp_path / "in.parquet", tiny.rows(2))
    settings = make.generate(models, str(source), str(tmp_path / "run"))
    weights = fingerprints(settings)
    run(settings, weights=weights)
    plan = adopt_or_make(settings, weights)
    audit.write_success(settings.output, audit.audit(settings.output, plan), {})
    source.unlink()
    asked = Search(settings.output, "red", None, None, None, None, "result", 5, None, None, None, str(tmp_path))
    assert "(no text)" in Path(job.search(asked).splitlines()[-1]).read_text()
    assert name(asked, plan, read(asked, plan)).startswith("text-red-")


def test_long_and_broken_texts_keep_the_table_a_table() -> None:
    hit = Hit(1, 0.5, "row", "source", "", {}, None, {}, "a\nb " + "long " * 50)
    _, line = table([hit]).splitlines()
    assert line.startswith("1     0.5000")
    assert line.endswith("…")
