"""Dances against their music: closed forms, and what each distance sees."""

import dataclasses
import functools

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Sets, gaussian, unit
from pipeline.evaluation.sets.cross import SCALE, cross
from pipeline.evaluation.sets.diversity import diversity
from pipeline.evaluation.sets.kernel import kid
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

N, D = 200, 6
ASIDE = np.array([2.0, 0, 0, 0, 0, 0])


def near(features: NDArray[np.floating], noise: float, seed: int) -> NDArray[np.floating]:
    return features + noise * np.random.default_rng(seed).normal(size=features.shape)


def dances(result_noise: float = 0.3, seed: int = 0) -> Sets:
    """Music; real dances, which resemble it but lie to one side of it; results that resemble the real ones."""
    music = np.random.default_rng(seed).normal(size=(N, D))
    real = near(music, 0.3, seed + 1) + ASIDE
    result = near(real, result_noise, seed + 2)
    names = tuple(f"i{i:03}" for i in range(N))
    return Sets(names, result.astype(np.float32), real.astype(np.float32), {"music": music.astype(np.float32)})


def values(sets: Sets) -> dict[str, float]:
    return {name: e.value for name, e in cross(sets).items()}


def test_real_dances_are_no_distance_from_themselves() -> None:
    whole = dances()
    found = cross(dataclasses.replace(whole, result=whole.reference))
    assert found["frechet_joint"].value == pytest.approx(0, abs=1e-4)
    assert found["frechet_audio_excess"].value == pytest.approx(0, abs=1e-4)
    assert found["frechet_audio"].value == pytest.approx(found["frechet_audio_real"].value)
    assert found["frechet_audio"].value > 1
    assert found["cosine_audio"].value == pytest.approx(found["cosine_audio_real"].value)


def test_a_wrong_pairing_is_seen_by_the_joint_distance_alone() -> None:
    whole = dances()
    shuffled = dataclasses.replace(whole, result=np.roll(whole.result, 7, axis=0))
    before, after = values(whole), values(shuffled)
    assert after["frechet_audio"] == pytest.approx(before["frechet_audio"], rel=1e-5)
    assert after["frechet_joint"] > before["frechet_joint"] + 5
    assert after["cosine_audio"] < before["cosine_audio"] - 0.1
    assert after["cosine_audio_real"] == before["cosine_audio_real"]


def test_worse_dances_are_seen_by_both() -> None:
    whole = dances(0.1)
    worse = [values(dataclasses.replace(whole, result=whole.result + gap * ASIDE)) for gap in (0, 0.5, 1)]
    for name in ("frechet_audio_excess", "frechet_joint"):
        low, middle, high = (found[name] for found in worse)
        assert low + 2 < middle < high - 2


def test_distances_are_those_of_moments_of_unit_vectors() -> None:
    whole = dances()
    heard, made, real = (SCALE * unit(x) for x in (whole.conditions["music"], whole.result, whole.reference))
    found = values(whole)
    assert found["frechet_audio"] == pytest.approx(frechet.distance(Moments.of(heard), Moments.of(made)), rel=1e-5)
    pairs = [Moments.of(np.concatenate([heard, dance], 1)) for dance in (made, real)]
    assert found["frechet_joint"] == pytest.approx(frechet.distance(*pairs), rel=1e-5)
    assert found["frechet_audio_excess"] == pytest.approx(
        found["frechet_audio"] - found["frechet_audio_real"], rel=1e-5
    )
    assert found["cosine_audio"] == pytest.approx((heard * made).sum(1).mean() / SCALE**2, rel=1e-5)


def test_every_figure_has_an_interval_over_its_inputs() -> None:
    for name, e in cross(dances()).items():
        assert e.low < e.value < e.high, name
        assert e.n == N


def test_runs_without_music_or_of_few_inputs_have_no_such_figures() -> None:
    whole = dances()
    assert not cross(dataclasses.replace(whole, conditions={"text": whole.conditions["music"]}))
    silent = np.full((N, D), np.nan, np.float32)
    assert not cross(dataclasses.replace(whole, conditions={"music": silent}))
    few = Sets(whole.source_id[:2], whole.result[:2], whole.reference[:2], {"music": whole.conditions["music"][:2]})
    assert set(cross(few)) == {"cosine_audio", "cosine_audio_real"}


def test_without_real_dances_there_is_nothing_to_read_a_distance_against() -> None:
    whole = dances()
    found = cross(dataclasses.replace(whole, reference=np.full_like(whole.reference, np.nan)))
    assert set(found) == {"frechet_audio", "cosine_audio"}
    some = dataclasses.replace(whole, reference=np.where(np.arange(N)[:, None] < 50, whole.reference, np.nan))
    assert cross(some)["frechet_joint"].n == cross(some)["frechet_audio"].n == 50


def test_several_results_of_an_input_make_it_no_more_inputs() -> None:
    whole = dances()
    twice = Sets(
        whole.source_id * 2,
        np.concatenate([whole.result, whole.result]),
        np.concatenate([whole.reference] * 2),
        {"music": np.concatenate([whole.conditions["music"]] * 2)},
    )
    found, before = cross(twice), cross(whole)
    assert found.pop("multimodality").value == pytest.approx(0, abs=1e-5)
    for name, e in found.items():
        assert dataclasses.asdict(e) == pytest.approx(dataclasses.asdict(before[name]), rel=1e-4, abs=1e-5), name


def test_multimodality_in_closed_form() -> None:
    result = np.array([[1, 0], [-1, 0], [0, 1], [3, 0], [0, 2]], np.float32)
    sets = Sets(("a", "a", "b", "b", "c"), result, np.full_like(result, np.nan), {"music": result})
    expected = SCALE * (2 + np.sqrt(2)) / 2  # a: two opposite directions, b: two at right angles, c has no pair
    assert cross(sets)["multimodality"].value == pytest.approx(expected)
    assert cross(sets)["multimodality"].n == 2


@pytest.mark.parametrize(("metric", "name"), [(cross, "frechet_joint"), (kid, "kid_x1000"), (diversity, "diversity")])
def test_inputs_that_are_copies_of_each_other_are_known_when_drawn_together(metric, name: str) -> None:
    whole = dances(1.0)
    copies = [np.repeat(x[:40], 5, 0) for x in (whole.result, whole.reference, whole.conditions["music"])]
    sets = Sets(whole.source_id, copies[0], copies[1], {"music": copies[2]})
    together = {source: f"g{i // 5}" for i, source in enumerate(whole.source_id)}
    apart, grouped = (metric(s)[name] for s in (sets, dataclasses.replace(sets, together=together)))
    assert grouped.value == pytest.approx(apart.value)
    assert grouped.n == apart.n == N
    assert grouped.high - grouped.low > 1.5 * (apart.high - apart.low)


def test_the_order_of_rows_changes_nothing() -> None:
    whole, order = dances(), np.random.default_rng(0).permutation(N)
    mixed = Sets(
        tuple(whole.source_id[i] for i in order),
        whole.result[order],
        whole.reference[order],
        {"music": whole.conditions["music"][order]},
    )
    for name, e in cross(mixed).items():
        assert dataclasses.asdict(e) == pytest.approx(dataclasses.asdict(cross(whole)[name]), rel=1e-4, abs=1e-4)


def test_a_frechet_distance_tells_its_features_and_is_that_of_scores() -> None:
    whole = dances()
    a, b = (whole.rows(x) for x in (whole.result, whole.reference))
    found = gaussian.distance(a, b)
    assert isinstance(found, Estimate)
    assert found.features == D
    own = functools.partial(frechet.distance, Moments.of(whole.result))
    assert found.value == pytest.approx(own(Moments.of(whole.reference)))
