"""Streaming means and intervals: the sums merge in any order, and the intervals are those of a bootstrap."""

import numpy as np
import pytest

from pipeline.evaluation import intervals
from pipeline.evaluation.tallies import Tally, by_input, multiplicities

RNG = np.random.default_rng(0)
NAMES = [f"input-{i}" for i in range(60)]


def test_multiplicities_are_poisson_and_belong_to_the_name() -> None:
    drawn = multiplicities(NAMES)
    assert np.array_equal(drawn[7], multiplicities(["input-7"])[0])
    counts = np.bincount(drawn.ravel(), minlength=4)[:4] / drawn.size
    assert counts == pytest.approx(np.exp(-1) / np.array([1, 1, 2, 6]), abs=0.005)
    assert np.corrcoef(drawn[0], drawn[1])[0, 1] == pytest.approx(0, abs=0.1)


def test_pieces_merge_to_the_whole_in_any_order() -> None:
    values = RNG.normal(size=(60, 3))
    values[RNG.random((60, 3)) < 0.2] = np.nan
    drawn = multiplicities(NAMES)
    whole = Tally.of(values, drawn)
    order = RNG.permutation(60)
    pieces = [Tally.of(values[at], drawn[at]) for at in np.array_split(order, 7)]
    merged = pieces[3] + pieces[0] + pieces[6] + pieces[5] + pieces[1] + pieces[2] + pieces[4]
    for a, b in zip(whole.estimates(), merged.estimates(), strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-12)
        assert a.n == b.n
    assert merged.deviations() == pytest.approx(np.nanstd(values, axis=0, ddof=1))


def test_intervals_are_about_those_of_the_ordinary_bootstrap() -> None:
    values = RNG.normal(3, 2, size=60)
    ours = Tally.of(values[:, None], multiplicities(NAMES)).estimates()[0]
    plain = intervals.mean(values, NAMES)
    assert ours.value == pytest.approx(plain.value)
    assert ours.high - ours.low == pytest.approx(plain.high - plain.low, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    drawn = multiplicities(NAMES)
    estimates = Tally.of(RNG.normal(size=(60, 200)), drawn).estimates()
    assert 180 <= sum(e.low <= 0 <= e.high for e in estimates) <= 198


def test_one_input_alone_or_none() -> None:
    one, none = Tally.of(np.array([[2.0, np.nan]]), multiplicities(["a"])).estimates()
    assert (one.value, one.low, one.high, one.n) == (2, 2, 2, 1)
    assert none.n == 0
    assert np.isnan(none.value)


def test_rows_of_an_input_count_as_their_mean() -> None:
    found = by_input(np.array([[1.0], [3.0], [np.nan], [7.0], [np.nan]]), np.array([0, 0, 0, 1, 2]), 3)
    assert found[:2].tolist() == [[2.0], [7.0]]
    assert np.isnan(found[2, 0])
