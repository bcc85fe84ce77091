"""Search by an index: nearly exact, with exact similarities, and never by an index of other objects."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import storage
from pipeline.search import approximate, exact
from pipeline.search.stored import Space
from pipeline.settings import SettingsError
from tests.embedded import QUERY, E, put, rows, truth, unit


def clustered(count: int, width: int) -> NDArray[np.float16]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, width))
    return unit(centres[rng.integers(0, 40, count)] + 0.5 * rng.normal(size=(count, width)))


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
