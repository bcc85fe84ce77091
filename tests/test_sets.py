"""Closed-form truths and invariances of set metrics; test_sets_reference.py holds them against other programs."""

import dataclasses
import functools
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import settings
from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Features, Sets, blocks, manifold, neighbours, pairs, retrieval
from pipeline.evaluation.sets.diversity import diversity
from pipeline.evaluation.sets.kernel import cmmd, kid
from pipeline.evaluation.sets.manifold import K, prdc

NAMES = ["kernel:kid", "kernel:cmmd", "manifold:prdc", "diversity:diversity", "retrieval:retrieval"]
METRICS = [settings.resolve(f"pipeline.evaluation.sets.{name}") for name in NAMES]
every_metric = pytest.mark.parametrize("metric", METRICS, ids=NAMES)
D = 8


def sets(result: NDArray[np.floating], reference: NDArray[np.floating], **conditions: Features) -> Sets:
    names = tuple(f"i{i:05}" for i in range(len(result)))
    return Sets(names, result.astype(np.float32), reference.astype(np.float32), conditions)


def drawn(n: int, seed: int, gap: float = 0.3) -> Sets:
    rng = np.random.default_rng(seed)
    reference, result, text = rng.normal(size=(3, n, D))
    return sets(result + gap, reference, text=(result + text).astype(np.float32))


def take(whole: Sets, index: NDArray[np.int64]) -> Sets:
    return Sets(
        tuple(whole.source_id[i] for i in index),
        whole.result[index],
        whole.reference[index],
        {role: features[index] for role, features in whole.conditions.items()},
    )


def assert_same(a: Mapping[str, Estimate], b: Mapping[str, Estimate]) -> None:
    assert list(a) == list(b)
    for name, estimate in a.items():
        assert dataclasses.asdict(estimate) == pytest.approx(dataclasses.asdict(b[name]), rel=1e-4, abs=1e-5), name


@every_metric
def test_every_figure_has_its_inputs_and_an_interval(metric) -> None:
    found = metric(drawn(90, 0))
    assert found
    for name, e in found.items():
        assert e.n == 90
        assert e.low <= e.value <= e.high, name
        assert e.low < e.high, name


@every_metric
def test_the_order_of_rows_changes_nothing(metric) -> None:
    whole = take(drawn(40, 1), np.repeat(np.arange(40), 2))
    whole.result[::2] += 0.1  # two different results of each input
    assert_same(metric(take(whole, np.random.default_rng(0).permutation(80))), metric(whole))


@every_metric
def test_inputs_and_their_references_count_once_however_many_copies_of_a_result_there_are(metric) -> None:
    whole = drawn(60, 2)
    found = dict(metric(take(whole, np.tile(np.arange(60), 3))))
    if within := found.pop("diversity_within", None):
        assert within.value == pytest.approx(0, abs=1e-6)
    assert_same(found, metric(whole))


@every_metric
def test_the_size_of_blocks_changes_nothing(metric, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(100, 3)
    before = metric(whole)
    monkeypatch.setattr(pairs, "HEIGHT", 2)
    for module in (manifold, retrieval):
        monkeypatch.setattr(module, "blocks", functools.partial(blocks, size=7))
    assert_same(metric(whole), before)


@every_metric
def test_sets_that_cannot_bear_a_metric_have_no_figure(metric) -> None:
    assert not metric(drawn(1, 0))
    whole = drawn(30, 0)
    bare = Sets(whole.source_id, whole.result, np.full_like(whole.reference, np.nan), {})
    assert set(metric(bare)) <= {"diversity"}
    empty = np.zeros((0, D), np.float32)
    assert not metric(Sets((), empty, empty, {"text": empty}))


@every_metric
def test_inputs_without_a_reference_do_not_enter_what_needs_one(metric) -> None:
    whole = drawn(60, 4)
    some = take(whole, np.arange(40))
    whole.reference[40:] = np.nan
    apart = ("diversity", *(f"r{k}_{of}" for k in (1, 5, 10) for of in ("text", "by_text")))
    found = {name: e for name, e in metric(whole).items() if name not in apart}
    assert_same(found, {name: e for name, e in metric(some).items() if name not in apart})


@every_metric
def test_memory_does_not_grow_with_the_square_of_rows(metric) -> None:
    whole = drawn(3000, 5)
    tracemalloc.start()
    metric(whole)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000**2 * 8 / 2


def test_equal_sets_lie_within_each_other_even_if_pictures_repeat() -> None:
    x = np.random.default_rng(0).normal(size=(300, D))
    for features in (x, np.repeat(x[:60], 5, 0), np.repeat(x[:30], 10, 0)):
        found = prdc(sets(features, features))
        assert [found[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert prdc(sets(x, x))["density"].value == pytest.approx((K + 1) / K)


def test_sets_that_are_far_apart_share_nothing() -> None:
    assert [e.value for e in prdc(drawn(100, 0, gap=50)).values()] == [0, 0, 0, 0]


def test_two_samples_of_one_distribution_have_the_expected_density_and_coverage() -> None:
    found = prdc(drawn(1500, 0, gap=0))
    assert found["density"].value == pytest.approx(1, abs=0.05)
    assert found["coverage"].value == pytest.approx(1 - 2**-K, abs=0.02)


def test_kernel_distances_of_two_points_in_closed_form() -> None:
    a, b = np.tile([3.0, 0, 0, 0], (50, 1)), np.tile([0, 2.0, 0, 0], (50, 1))
    assert kid(sets(a, b))["kid_x1000"].value == pytest.approx(1000 * ((9 / 4 + 1) ** 3 + 2**3 - 2), rel=1e-5)
    assert cmmd(sets(a, b))["cmmd"].value == pytest.approx(1000 * (2 - 2 * np.exp(-2 / 200)), rel=1e-5)


def test_on_unit_length_both_kernel_distances_are_nearly_the_squared_distance_of_the_means() -> None:
    whole = drawn(400, 0, gap=1)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (whole.result, whole.reference)]
    gap = unit[0].mean(0) - unit[1].mean(0)
    assert cmmd(sets(*unit))["cmmd"].value == pytest.approx(10 * gap @ gap, rel=0.05)
    assert kid(sets(*unit))["kid_x1000"].value == pytest.approx(3000 / D * gap @ gap, rel=0.25)


@pytest.mark.parametrize("gap", [0, 0.4])
def test_kid_is_unbiased_and_its_intervals_hold_the_truth(gap: float) -> None:
    found = [kid(drawn(100, seed, gap))["kid_x1000"] for seed in range(100)]
    # x ~ N(gap, I), y ~ N(0, I), t = x·x' / D: moments of products of independent Gaussians, per coordinate.
    truth = 1000 * (_expected(gap, gap) + _expected(0, 0) - 2 * _expected(gap, 0))
    values = np.array([e.value for e in found])
    assert values.mean() == pytest.approx(truth, abs=3 * values.std() / 10)
    covered = sum(e.low <= truth <= e.high for e in found)
    assert covered >= 88


def _expected(a: float, b: float) -> float:
    """E (x·y / D + 1)^3 of independent x ~ N(a, I), y ~ N(b, I), from the moments of the products x_d y_d."""
    first, second, third = a * b, (a**2 + 1) * (b**2 + 1), (a**3 + 3 * a) * (b**3 + 3 * b)
    variance = second - first**2
    skew = third - 3 * first * second + 2 * first**3
    mean = first + 1  # of x·y / D + 1
    return mean**3 + 3 * mean * variance / D + skew / D**2


def test_results_that_equal_their_references_lower_kid_by_what_its_contract_says() -> None:
    x = np.random.default_rng(0).normal(size=(50, D))
    k = (x @ x.T / D + 1) ** 3
    excess = np.diagonal(k).mean() - k[~np.eye(50, dtype=bool)].mean()
    assert kid(sets(x, x))["kid_x1000"].value == pytest.approx(-2000 / 50 * excess, rel=1e-4)


@pytest.mark.parametrize(("metric", "name"), [(kid, "kid_x1000"), (cmmd, "cmmd"), (diversity, "diversity")])
def test_the_jackknife_from_one_pass_is_that_of_leaving_groups_out(metric, name: str) -> None:
    whole = take(drawn(50, 6), np.concatenate([np.arange(50), np.arange(20)]))  # some have two results
    whole.result[50:] += 0.3
    group = intervals.groups(whole.source_id)
    left_out = [metric(take(whole, np.flatnonzero(group != g)))[name].value for g in range(group.max() + 1)]
    brute = intervals.jackknifed(metric(whole)[name].value, left_out, 50)
    assert_same({name: metric(whole)[name]}, {name: brute})


def test_diversity_in_closed_form() -> None:
    nothing = np.full((6, 6), np.nan)
    assert diversity(sets(5 * np.eye(6), nothing))["diversity"].value == pytest.approx(1)
    assert diversity(sets(np.ones((6, 6)), nothing))["diversity"].value == pytest.approx(0, abs=1e-6)
    two = Sets(("a", "a", "b", "b", "c"), np.array([[1, 0], [-1, 0], [0, 1], [1, 0], [1, 0]], np.float32), nothing, {})
    assert diversity(two)["diversity_within"].value == pytest.approx((2 + 1) / 2)
    assert diversity(two)["diversity_within"].n == 2
    pairs_apart = np.array([1, 0, 0, 1, 2, 2, 1, 0])  # a-b, a-b, a-c, then b-c: distances of rows of different inputs
    assert diversity(two)["diversity"].value == pytest.approx(pairs_apart.mean())


def test_results_find_their_references_and_guesses_are_as_good_as_chance() -> None:
    found = retrieval.retrieval(drawn(500, 7, gap=0))
    assert found["r10_reference"].low <= found["r10_reference"].chance <= found["r10_reference"].high
    x = drawn(50, 0).reference
    found = retrieval.retrieval(sets(3 * x, x))
    assert [found[f"r{k}_reference"].value for k in (1, 5, 10)] == [1, 1, 1]
    assert [found[f"r{k}_reference"].chance for k in (1, 5, 10)] == [0.02, 0.1, 0.2]


def test_ties_count_against_a_result_and_absent_conditions_are_no_candidates() -> None:
    text = np.repeat(np.eye(8, dtype=np.float32), 3, 0)  # each caption three times
    text[21:] = np.nan
    found = retrieval.retrieval(sets(text + 0.0, np.full_like(text, np.nan), text=text))
    assert found["r1_text"].value == 0
    assert found["r5_text"].value == 1
    assert found["r5_text"].n == 21
    few = retrieval.retrieval(sets(text[:5], np.full_like(text[:5], np.nan), text=text[:5]))
    assert list(few) == ["r1_text", "r1_by_text"]


def test_an_input_asks_among_one_result_of_each_and_real_ones_say_what_can_be_reached() -> None:
    x = drawn(50, 0).reference
    found = retrieval.retrieval(sets(np.roll(x, 1, 0), x, text=x))
    assert [found[f"r1_{name}"].value for name in ("text", "by_text", "text_real")] == [0, 0, 1]
    twice = take(sets(x, np.full_like(x, np.nan), text=2 * x), np.repeat(np.arange(50), 2))
    found = retrieval.retrieval(twice)
    assert found["r1_by_text"].value == 1  # of two equal results of an input, one is no rival
    assert found["r1_by_text"].chance == 0.02
    assert not [name for name in found if name.endswith("_real")]


def test_copies_of_training_rows_are_found_among_results() -> None:
    training, whole = drawn(400, 8).reference, drawn(100, 9)
    whole.result[::10] = 2 * training[:10]
    similarity, _ = neighbours.nearest(whole.result, training, 1)
    assert np.flatnonzero(similarity[:, 0] > 0.999).tolist() == list(range(0, 100, 10))
