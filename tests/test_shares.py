"""Which conditions rows lack in training, whatever they lack by themselves."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.train.denoising import Denoising
from pipeline.train.shares import AGAIN, draw_keep, order
from pipeline.train.stage import Orders

SHARES = {"drop_each": 0.15, "drop_all": 0.1}
MODALITIES = ("text", "sketch")
ROWS = 20_000


def incomplete(text: float, sketch: float) -> dict[str, NDArray[np.bool_]]:
    """Rows that lack text and sketch, each with a probability."""
    rng = np.random.default_rng(0)
    return {"has_text": rng.random(ROWS) >= text, "has_sketch": rng.random(ROWS) >= sketch}


def shares(rows: dict[str, NDArray[np.bool_]], places: NDArray[np.int64]) -> list[float]:
    """Of the rows at some places: those that lack nothing, the text, the sketch, both."""
    text, sketch = rows["has_text"][places], rows["has_sketch"][places]
    return [float(own.mean()) for own in (text & sketch, ~text & sketch, text & ~sketch, ~text & ~sketch)]


def test_rows_that_lack_nothing_come_again_in_place_of_too_many_that_lack_something() -> None:
    rows = incomplete(0.5, 0.5)
    places = order(rows, MODALITIES, SHARES, np.random.default_rng(1))
    assert len(places) == ROWS
    assert shares(rows, places) == pytest.approx([0.6, 0.15, 0.15, 0.1], abs=1e-3)
    found, count = np.unique(places, return_counts=True)
    whole = (rows["has_text"] & rows["has_sketch"])[found]
    assert set(count[whole]) == {2, 3}  # 0.6 of the places for 0.25 of the rows: each as often as any other
    assert set(count[~whole]) == {1}
    first = [places[start : start + 100] for start in range(0, ROWS, 100)]
    assert np.std([shares(rows, own)[0] for own in first]) == pytest.approx((0.6 * 0.4 / 100) ** 0.5, rel=0.2)


def test_a_handful_of_whole_rows_is_not_all_that_is_learnt() -> None:
    rows = {"has_text": np.arange(ROWS) >= 0, "has_sketch": np.arange(ROWS) < 20}  # all but 20 lack the sketch
    places = order(rows, MODALITIES, SHARES, np.random.default_rng(1))
    assert len(places) == ROWS
    found, count = np.unique(places, return_counts=True)
    assert set(count[found < 20]) == {AGAIN}
    assert set(count[found >= 20]) == {1}


@pytest.mark.parametrize(("text", "sketch"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.1), (1.0, 0.3)])
def test_rows_that_lack_no_more_than_wanted_come_once_each(text: float, sketch: float) -> None:
    places = order(incomplete(text, sketch), MODALITIES, SHARES, np.random.default_rng(1))
    assert sorted(places) == list(range(ROWS))
    assert sorted(places[:100]) != places[:100].tolist()


def test_stages_that_make_pictures_of_conditions_choose_their_rows() -> None:
    assert issubclass(Denoising, Orders)


def test_the_order_is_that_of_the_seed() -> None:
    rows = incomplete(0.5, 0.5)
    one, again, other = (order(rows, MODALITIES, SHARES, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_modalities_are_dropped_in_the_shares_asked_for() -> None:
    each, everything = 0.15, 0.1
    options = {"drop_each": each, "drop_all": everything}
    rows = torch.arange(20_000)
    has = dict.fromkeys(("text", "sketch"), rows >= 0)
    keep = draw_keep(has, options, torch.Generator().manual_seed(0))
    text, sketch = keep["text"], keep["sketch"]
    assert (~text & ~sketch).float().mean() == pytest.approx(everything, abs=0.01)
    assert (~text & sketch).float().mean() == pytest.approx(each, abs=0.01)
    assert (text & ~sketch).float().mean() == pytest.approx(each, abs=0.01)


def test_rows_that_lack_something_count_as_dropped() -> None:
    rows = torch.arange(20_000) / 20_000
    has = {"text": rows >= 0.3, "sketch": (rows < 0.25) | (rows >= 0.3)}  # text alone lacks in 25 %, both in 5 %
    keep = draw_keep(has, SHARES, torch.Generator().manual_seed(0))
    text, sketch = (keep[m] & has[m] for m in has)
    assert (~text & sketch).float().mean() == 0.25  # enough as it is
    assert (~text & ~sketch).float().mean() == pytest.approx(0.1, abs=0.01)
    assert (text & ~sketch).float().mean() == pytest.approx(0.15, abs=0.01)
    assert bool(sketch[rows < 0.25].all())  # who lacks something is left what there is
    nothing = draw_keep(dict.fromkeys(has, rows < 0), SHARES, torch.Generator().manual_seed(0))
    assert all(kept.all() for kept in nothing.values())
