import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import GROUPS

RNG = np.random.default_rng(0)


def test_groups_are_equal_and_belong_to_inputs_not_to_rows() -> None:
    names = [f"i{i}" for i in range(104)] * 3
    group = intervals.groups(names)
    assert set(np.bincount(group[:104])) == {5, 6}
    assert np.array_equal(group[:104], group[104:208])
    order = RNG.permutation(len(names))
    assert np.array_equal(intervals.groups([names[i] for i in order]), group[order])
    assert sorted(intervals.groups(["a", "b", "c"])) == [0, 1, 2]


def test_a_jackknife_from_sums_is_that_of_leaving_groups_out_in_full() -> None:
    names = [f"i{i}" for i in range(70)]
    x, group = RNG.normal(size=70), intervals.groups(names)
    pairs = np.exp(-((x[:, None] - x) ** 2))
    sums = np.zeros((2, GROUPS, GROUPS))
    for i, g in enumerate(group):
        for j, h in enumerate(group):
            sums[:, g, h] += pairs[i, j], 1
    estimate = intervals.jackknife_sums(lambda total: total[0] / total[1], sums, 70)
    left_out = [pairs[np.ix_(group != g, group != g)].mean() for g in range(GROUPS)]
    spread = np.sqrt((GROUPS - 1) / GROUPS * np.square(left_out - np.mean(left_out)).sum())
    assert estimate.value == pytest.approx(pairs.mean())
    assert estimate.high - estimate.value == pytest.approx(stats.t(GROUPS - 1).ppf(0.975) * spread)
    assert estimate.value - estimate.low == pytest.approx(stats.t(GROUPS - 1).ppf(0.975) * spread)


def test_what_is_drawn_together_has_the_interval_of_its_groups() -> None:
    values, names = np.repeat(RNG.normal(size=12), 5), [f"i{i:02}" for i in range(60)]
    together = {name: f"g{i // 5:02}" for i, name in enumerate(names)}
    found = intervals.mean(values, names, together)
    of_groups = intervals.mean(values[::5], sorted(set(together.values())))
    assert (found.value, found.low, found.high) == pytest.approx((of_groups.value, of_groups.low, of_groups.high))
    assert found.n == 60
    alone = intervals.mean(values, names)
    assert found.high - found.low > 1.8 * (alone.high - alone.low)  # the root of 5 is 2.24
    assert intervals.share(np.ones(60), names, together).low == intervals.share(np.ones(12), names[:12]).low
    dealt = intervals.groups(names, together)
    assert len(set(dealt)) == 12
    assert all(len(set(dealt[i : i + 5])) == 1 for i in range(0, 60, 5))


def test_one_group_has_no_interval() -> None:
    estimate = intervals.jackknife(lambda index: float(len(index)), 1)
    assert estimate.value == 1
    assert np.isnan([estimate.low, estimate.high]).all()


def test_the_order_of_rows_does_not_change_a_mean_or_its_interval() -> None:
    values, names = RNG.normal(size=60), [f"i{i % 25}" for i in range(60)]
    order = RNG.permutation(60)
    again = intervals.mean(values[order], [names[i] for i in order])
    whole = intervals.mean(values, names)
    assert (again.value, again.low, again.high) == pytest.approx((whole.value, whole.low, whole.high))


@pytest.mark.parametrize("n", [1, 5, 90])
def test_a_share_of_which_all_inputs_agree_has_the_exact_binomial_interval(n: int) -> None:
    names = [f"i{i}" for i in range(n)] * 2
    for hits in (0, n):
        found = intervals.share(np.full(2 * n, float(hits > 0)), names)
        exact = stats.binomtest(hits, n).proportion_ci(method="exact")
        assert (found.low, found.high, found.n) == pytest.approx((exact.low, exact.high, n))


def test_any_other_share_is_a_mean() -> None:
    values, names = (RNG.random(50) < 0.3).astype(float), [f"i{i}" for i in range(50)]
    assert intervals.share(values, names) == intervals.mean(values, names)


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_inputs_needed_is_the_fewest_with_which_a_t_test_has_the_power(effect: float, power: float) -> None:
    def exact(n: int) -> float:
        least = stats.t.ppf(0.975, n - 1)
        t = stats.nct(n - 1, effect * np.sqrt(n))
        return float(t.sf(least) + t.cdf(-least))

    n = intervals.inputs_needed(-2 * effect, 2, power)
    assert exact(n) >= power - 0.002
    assert exact(n - 1) < power


def test_inputs_needed_by_simulation() -> None:
    n = intervals.inputs_needed(0.5, 1.0)
    assert n == 34
    drawn = np.random.default_rng(3).normal(0.5, 1, (4000, n))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)
    with pytest.raises(ValueError, match="difference of 0"):
        intervals.inputs_needed(0, 1)
