import numpy as np
import pytest

from pipeline.evaluation.sets import neighbours
from pipeline.evaluation.sets.neighbours import Nearest, nearest

RNG = np.random.default_rng(0)
QUERY = RNG.normal(size=(300, 12)).astype(np.float32)
# Half of the references repeat the other half: every place is a tie.
REFERENCE = np.tile(RNG.normal(size=(200, 12)).astype(np.float32), (2, 1))


def test_a_copy_is_found_with_similarity_one_whatever_its_length() -> None:
    similarity, index = nearest(2 * QUERY[[7, 250]], QUERY, 1)
    assert index.tolist() == [[7], [250]]
    assert np.allclose(similarity, 1)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_neither_order_nor_size_of_blocks_changes_anything(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nearest(QUERY, REFERENCE, k)
    assert (whole[0][:, :-1] >= whole[0][:, 1:]).all()
    monkeypatch.setattr(neighbours, "CHUNK", 150)
    for seed, size in enumerate((1, 3, 37, 200, 399)):
        order = np.random.default_rng(seed).permutation(len(REFERENCE))
        found = Nearest(QUERY, k)
        for at in np.split(order, range(size, len(order), size)):
            found.add(REFERENCE[at], at)
        assert np.array_equal(found.best()[0], whole[0])
        assert np.array_equal(found.best()[1], whole[1])


def test_ties_go_to_the_lower_id_and_ids_may_be_text() -> None:
    found = Nearest(QUERY[:1], 2)
    found.add(QUERY[[0, 0, 1]], np.array(["b", "a-long-name", "x"]))
    found.add(QUERY[[0]], np.array(["aa"]))
    assert found.best()[1].tolist() == [["a-long-name", "aa"]]


def test_fewer_references_than_k_are_all_returned() -> None:
    assert Nearest(QUERY, 5).best()[0].shape == (300, 0)
    similarity, index = nearest(QUERY, REFERENCE[:3], 5)
    assert similarity.shape == (300, 3)
    assert (np.sort(index, 1) == np.arange(3)).all()


def test_references_without_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="3 references have 2 ids"):
        Nearest(QUERY, 1).add(REFERENCE[:3], np.arange(2))
