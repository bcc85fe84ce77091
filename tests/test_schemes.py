import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.diffusion.schemes import SCHEMES, Scheme, scheme, subsets
from pipeline.settings import SettingsError

NONE, A, B, AB = frozenset[str](), frozenset("a"), frozenset("b"), frozenset("ab")
weights = st.fixed_dictionaries({k: st.floats(-20, 20) for k in ("a", "b", "all")})


@given(st.sampled_from(sorted(SCHEMES)), weights)
def test_weights_of_every_scheme_sum_to_one(name: str, w: dict[str, float]) -> None:
    assert sum(scheme(name).table(("a", "b"), w).values()) == pytest.approx(1)


def test_tables_are_the_published_ones() -> None:
    w = {"a": 1.5, "b": 4.0, "all": 3.0}
    assert scheme("none").table("ab", w) == {AB: 1}
    assert scheme("single").table("ab", w) == {NONE: -2, AB: 3}
    assert scheme("composed").table("ab", w) == {NONE: 1 - 5.5, A: 1.5, B: 4}
    assert scheme("chained").table("ab", w) == {NONE: 1 - 1.5, A: 1.5 - 4, AB: 4}


def test_chained_of_equal_scales_is_single() -> None:
    chained, single = scheme("chained").table("ab", {"a": 3.0, "b": 3.0}), scheme("single").table("ab", {"all": 3.0})
    assert {s: w for s, w in chained.items() if w} == single


def test_branches_that_no_cell_needs_are_dropped() -> None:
    assert subsets("composed", "ab", [{"a": 2.0, "b": 0.0}]) == (NONE, A)
    assert subsets("composed", "ab", [{"a": 1.0, "b": 0.0}]) == (A,)
    assert subsets("composed", "ab", [{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 2.0}]) == (NONE, A, B)
    assert subsets("single", "ab", [{"all": 1.0}]) == (AB,)
    assert subsets("none", "ab", [{}]) == (AB,)


def test_schemes_of_others_go_by_module_and_attribute() -> None:
    assert isinstance(scheme("tests.test_schemes:MINE"), Scheme)
    with pytest.raises(SettingsError, match="unknown guidance=composd; known: none, single, composed, chained"):
        scheme("composd")


MINE = Scheme(lambda modalities, w: {frozenset(modalities): 1.0})
