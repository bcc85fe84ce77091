"""Exact search: brute force's answer, whatever the cut and the order of the objects."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import storage
from pipeline.search import exact, stored
from pipeline.search.stored import Space, ahead, cosine
from pipeline.settings import SettingsError
from tests.embedded import QUERY, SCHEMA, E, put, rows, truth


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
