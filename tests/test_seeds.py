import hypothesis.strategies as st
from hypothesis import given

from pipeline.seeds import digest, row_id, row_seed


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_digests_are_equal_exactly_when_all_parts_are(a: list[str], b: list[str]) -> None:
    assert (digest(*a) == digest(*b)) == (a == b)


@given(st.integers(0, 2**31), st.text(), st.integers(0, 1000))
def test_seeds_are_valid_and_differ_by_sample(run: int, source: str, k: int) -> None:
    assert 0 <= row_seed(run, source, k) < 2**63
    assert row_seed(run, source, k) != row_seed(run, source, k + 1)


def test_ids_and_seeds_never_change() -> None:
    # Written down once: a change would orphan every result that anybody has.
    assert row_id("f", "input", "cell", 3) == "10cac68144a93826d004223ea906ed98"
    assert row_seed(0, "1F600", 0) == 8970330210323407785
    assert digest("a", 1).hex() == "51aebb63c009b3aa2a6a6efef911fd90"
