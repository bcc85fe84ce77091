"""Retrieval: exact whatever the cut of the objects, by an index nearly so, and from a query to a page."""

import itertools
import json
import math
import operator
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf

from jobs import search as job
from jobs.cli import compose_config
from pipeline import audit, storage
from pipeline.adopt import adopt_or_make
from pipeline.build import build
from pipeline.conditions.clip import Clip
from pipeline.run import fingerprints
from pipeline.search import approximate, exact, stored
from pipeline.search.answer import table
from pipeline.search.hits import Hit
from pipeline.search.page import name
from pipeline.search.query import read
from pipeline.search.stored import Space, ahead, cosine
from pipeline.settings import Generate, Search, SettingsError
from pipeline.storage import Stored
from tests import make, tiny
from tests.test_report import Page
from tests.test_stages import bad_rows, run

Models = dict[str, str]
Row = dict[str, Any]
E = 8
QUERY = np.linspace(-0.5, 0.5, E).astype(np.float16)
VECTOR = pa.list_(pa.float16(), E)
SCHEMA = pa.schema(
    [
        *((n, pa.string()) for n in ("row_id", "source_id", "status", "cell")),
        ("embedding", VECTOR),
        ("input_embeddings", pa.struct([("text", VECTOR)])),
    ]
)


def unit(values: NDArray[np.float64]) -> NDArray[np.float16]:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float16)


def rows(count: int, seed: int = 0, kinds: int = 1000) -> list[Row]:
    """Rows of which two of three share their input with the one before; with few `kinds` many are equal."""
    rng = np.random.default_rng(seed)
    vectors, texts = unit(rng.normal(size=(kinds, E))), unit(rng.normal(size=(kinds, E)))
    made = []
    for i, place in enumerate(rng.permutation(count).tolist()):
        failed = i % 5 == 4
        made.append(
            {
                "row_id": f"{place:05d}",
                "source_id": f"s{i // 3}",
                "status": "failed" if failed else "ok",
                "cell": "a" if i % 2 else "b",
                "embedding": None if failed else vectors[i % kinds],
                "input_embeddings": {"text": texts[i // 3 % kinds] if i // 3 % 4 else None},
            }
        )
    return made


def put(place: str, made: list[Row], sizes: list[int]) -> list[Stored]:
    """Rows as objects of these sizes."""
    coming = iter(made)
    for number, size in enumerate(sizes):
        part = pa.Table.from_pylist(list(itertools.islice(coming, size)), SCHEMA)
        storage.put(storage.join(place, f"{number:08d}.parquet"), storage.to_parquet(part, row_group_rows=7))
    return storage.list_objects(place, ".parquet")


def truth(made: list[Row], of: str, top_k: int) -> list[tuple[float, str]]:
    """(similarity, row_id) by brute force, with sums that are rounded once."""
    best: dict[str, tuple[float, str]] = {}
    for row in made:
        vector = row["embedding"] if of == "result" else row["input_embeddings"][of]
        if row["status"] != "ok" or vector is None:
            continue
        x, q = vector.astype(float).tolist(), QUERY.astype(float).tolist()
        dot, square, own = (math.fsum(map(operator.mul, a, b)) for a, b in ((x, q), (x, x), (q, q)))
        pair = (-dot / math.sqrt(square * own), row["row_id"])
        item = row["row_id"] if of == "result" else row["source_id"]
        best[item] = min(best.get(item, pair), pair)
    return [(-value, row_id) for value, row_id in sorted(best.values())[:top_k]]


@pytest.mark.parametrize("of", ["result", "text"])
@pytest.mark.parametrize("kinds", [2, 1000])
@pytest.mark.parametrize("sizes", [[40], [1] * 40, [5, 20, 15]])
def test_exact_search_is_brute_force_whatever_the_cut_and_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str, kinds: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(stored, "BATCH_ROWS", 8)
    made = rows(40, kinds=kinds)
    expected = truth(made, of, 6)
    assert len(expected) == 6
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(40).tolist()
        objects = put(str(tmp_path / str(seed)), [made[i] for i in order], sizes)
        found, _ = exact.search(objects, Space(of), QUERY, 6)
        assert [(f.similarity, f.row_id) for f in found] == expected
        for one in found:  # and where it says that they are, they are
            there = pq.read_table(objects[one.object].uri, columns=["row_id"])["row_id"]
            assert there[one.row].as_py() == one.row_id


def test_fewer_rows_than_asked_for_are_all_found(tmp_path: Path) -> None:
    made = rows(9)
    found, looked = exact.search(put(str(tmp_path), made, [4, 5]), Space("result"), QUERY, 100)
    assert [(f.similarity, f.row_id) for f in found] == truth(made, "result", 100)
    assert looked == len(found) == sum(r["status"] == "ok" for r in made)


def test_only_rows_that_match_are_found(tmp_path: Path) -> None:
    made = rows(60)
    objects = put(str(tmp_path), made, [30, 30])
    found, _ = exact.search(objects, Space("result", "cell == 'a'"), QUERY, 10)
    assert [f.row_id for f in found] == [i for _, i in truth([r for r in made if r["cell"] == "a"], "result", 10)]
    with pytest.raises(SettingsError, match="has no column 'slice'"):
        exact.search(objects, Space("result", "slice == 'a'"), QUERY, 10)
    with pytest.raises(SettingsError, match="does not fit the output's columns"):
        exact.search(objects, Space("result", "cell > 3"), QUERY, 10)


HALVES = st.lists(st.floats(-1, 1, width=16), min_size=E, max_size=E)


@settings(deadline=None)
@given(st.lists(HALVES, min_size=1, max_size=6), st.permutations(range(E)))
def test_a_similarity_has_the_same_bits_in_any_company(vectors: list[list[float]], order: list[int]) -> None:
    x = np.array(vectors, np.float16)
    x = x[np.any(x != 0, axis=1)]
    together = cosine(x, QUERY)
    assert together.tolist() == [cosine(row[None], QUERY)[0] for row in x]
    assert together.tolist() == cosine(x[:, order], QUERY[order]).tolist()


def test_threads_run_only_a_little_ahead_and_keep_the_order() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    for done, number in enumerate(ahead(work, range(200))):
        assert number == done
        assert len(begun) <= done + 1 + 2 * stored.THREADS
    assert len(begun) == 200


def clustered(count: int, width: int) -> NDArray[np.float16]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, width))
    return unit(centres[rng.integers(0, 40, count)] + 0.5 * rng.normal(size=(count, width)))


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_of_objects_in_a_store_only_the_embeddings_are_fetched(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pa.Table.from_pylist(rows(30), SCHEMA).append_column("image", pa.array([b"x" * 100_000] * 30))
    data = storage.to_parquet(made.select(["row_id", "status", "image", "source_id", "embedding"]))
    storage.put(f"{place}/00000000.parquet", data)
    fetched: list[int] = []

    class Counted(s3fs.core.S3File):
        def _fetch_range(self, start: int, end: int) -> bytes:
            fetched.append(end - start)
            return bytes(super()._fetch_range(start, end))

    monkeypatch.setattr(s3fs.core, "S3File", Counted)
    exact.search(storage.list_objects(place), Space("result"), QUERY, 10)
    assert 0 < sum(fetched) < 100_000 < len(data)


@pytest.mark.parametrize("place", ["local", "s3"], indirect=True)
def test_an_index_finds_nearly_all_with_exact_similarities_and_is_built_once(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(6000, E)
    blank = {"source_id": "", "status": "ok", "cell": "", "input_embeddings": None}
    made = [{**blank, "row_id": f"{i:05d}", "embedding": v} for i, v in enumerate(vectors)]
    objects, own = put(f"{place}/data", made, [2000, 2500, 1500]), Space("result")
    hit = 0
    for query in vectors[::600]:
        near, looked = approximate.search(objects, own, query, 10, f"{place}/search")
        monkeypatch.setattr(approximate, "_built", None)  # the first query has built it
        sure, _ = exact.search(objects, own, query, 10)
        assert looked == 6000
        assert near[0] == sure[0]
        hit += len({*near} & {*sure})  # equal in all: similarity, id and place
    assert hit >= 95  # of 100
    assert len(storage.list_objects(f"{place}/search")) == 1


def test_an_index_of_inputs_holds_each_once_and_agrees_on_its_row(tmp_path: Path) -> None:
    objects = put(str(tmp_path / "data"), rows(240), [60, 60, 120])
    sure, _ = exact.search(objects, Space("text"), QUERY, 100)
    near, looked = approximate.search(objects, Space("text"), QUERY, 100, str(tmp_path))
    assert near == sure
    assert looked == len(sure)


def test_an_index_of_other_objects_is_not_taken(tmp_path: Path) -> None:
    place = str(tmp_path / "search")
    objects = put(str(tmp_path / "data"), rows(30), [15, 15])
    approximate.search(objects, Space("result"), QUERY, 3, place)
    changed = rows(30, seed=1)
    objects = put(str(tmp_path / "data"), changed, [20, 10])
    near, _ = approximate.search(objects, Space("result"), QUERY, 3, place)
    assert [(f.similarity, f.row_id) for f in near] == truth(changed, "result", 3)
    assert len(storage.list_objects(place)) == 1


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SettingsError, match=r"pip install 'batch-diffusion\[search\]'"):
        approximate.search([], Space("result"), QUERY, 3, str(tmp_path))


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
