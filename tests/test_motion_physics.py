"""Measures of a body on a floor and features of dances, where their values are known."""

import math

import numpy as np
import pytest

from pipeline.motion import features, physics
from pipeline.motion.skeleton import JOINTS, mirror
from pipeline.scores import frechet
from tests.dancer import TIME, along, moved, standing

ON = {
    name: index
    for index, name in enumerate(
        ["forwards", "above", "up", "bent", "away", "fast", "lowered", "abducted", "front", "raised", "knee"]
    )
}  # of the right side; the left side's begin at 13


def test_a_frozen_dancer_neither_slides_nor_jerks_nor_stretches() -> None:
    still = standing()
    assert physics.foot_skating(still) == 0
    assert physics.foot_contact(still) == 0
    assert physics.jerk(still) == 0
    assert physics.bone_deviation(still) == 0


def test_one_foot_that_slides_faster_than_the_limit_is_half_of_the_feet() -> None:
    for speed, share in ((0.29, 0.0), (0.31, 0.5)):
        slid = moved(standing(), "l_ankle", "l_foot", by=along(0, speed * TIME))
        assert physics.foot_skating(slid) == pytest.approx(share)
    raised = moved(standing(), *JOINTS, by=along(1, np.full(60, 0.2)))
    assert math.isnan(physics.foot_skating(raised))


def test_foot_contact_in_closed_form() -> None:
    slow, fast, force = 0.01, 0.02, along(2, np.where(np.arange(60) >= 30, 0.1, 0))
    both = moved(standing(), "l_ankle", "l_foot", by=along(0, slow * np.arange(60)))
    both = moved(both, "r_ankle", "r_foot", by=along(0, fast * np.arange(60)))
    pushed = moved(both, "pelvis", by=force)  # one push forwards, one back: |a| / max |a| is 1 in two of 58 frames
    assert physics.foot_contact(pushed) == pytest.approx(2 / 58 * slow * fast * 1e4, rel=1e-3)
    fallen = moved(both, "pelvis", by=along(1, -0.5 * 9.81 * TIME**2))
    assert physics.foot_contact(fallen) == 0  # a body may fall without a foot on the floor
    one_stands = moved(standing(), "r_ankle", "r_foot", by=along(0, fast * np.arange(60)))
    assert physics.foot_contact(moved(one_stands, "pelvis", by=force)) == 0


def test_bone_deviation_sees_bones_that_change_and_not_how_tall_a_dancer_is() -> None:
    scale = np.where(np.arange(60) < 15, 1.2, 1.0)[:, None, None].astype(np.float32)
    assert physics.bone_deviation(standing() * scale) == pytest.approx(0.2 * 15 / 60, rel=1e-4)
    assert physics.bone_deviation(standing() * np.float32(1.3)) == pytest.approx(0, abs=1e-6)


def test_jerk_of_a_cubic() -> None:
    cubic = moved(standing().astype(np.float64), *JOINTS, by=along(0, TIME**3))
    assert physics.jerk(cubic) == pytest.approx(6, rel=0.05)


def test_what_is_too_short_has_no_value() -> None:
    for measure in (physics.foot_contact, physics.foot_skating, physics.bone_deviation, physics.jerk):
        assert math.isnan(measure(standing(0)))
    assert math.isnan(physics.foot_contact(standing(2)))
    assert math.isnan(physics.jerk(standing(3)))


def test_kinetic_features_of_a_constant_walk() -> None:
    walk = moved(standing(), *JOINTS, by=along(2, 1.5 * TIME) + along(1, 0.2 * TIME))
    found = features.kinetic(walk).reshape(22, 3)
    assert found == pytest.approx(np.tile([1.5**2, 0.2**2, 0], (22, 1)), abs=1e-3)


def test_features_are_the_same_in_a_batch_and_wherever_the_dancer_stands_and_faces() -> None:
    rng = np.random.default_rng(0)
    dances = standing() + np.cumsum(rng.normal(0, 0.01, (3, 60, 22, 3)), 1).astype(np.float32)
    turn = np.array([[np.cos(1), 0, np.sin(1)], [0, 1, 0], [-np.sin(1), 0, np.cos(1)]])
    for make, width in ((features.kinetic, features.KINETIC), (features.geometric, features.GEOMETRIC)):
        together = make(dances)
        assert together.shape == (3, width)
        assert together[1] == pytest.approx(make(dances[1]))
        assert make(dances @ turn.T + [3, 0, -2]) == pytest.approx(together, abs=1e-6)


def test_geometric_relations_name_what_the_body_does() -> None:
    still = features.geometric(standing())
    assert not still[[ON["forwards"], ON["above"], ON["bent"], ON["fast"], ON["raised"], ON["knee"]]].any()
    up = moved(standing(), "r_wrist", by=along(1, np.full(60, 0.8)))
    assert features.geometric(up)[ON["above"]] == 1
    assert features.geometric(up)[ON["bent"]] == 1
    reach = moved(standing(), "r_wrist", by=along(2, 1.0 * TIME))
    assert features.geometric(reach)[ON["forwards"]] == 1
    assert features.geometric(reach)[13 + ON["forwards"]] == 0
    kick = moved(standing(), "r_ankle", "r_foot", by=along(1, np.full(60, 0.5)))
    assert features.geometric(kick)[ON["raised"]] == 1
    step = moved(standing(), "r_ankle", by=along(2, np.full(60, 0.3)))
    assert features.geometric(step)[ON["front"]] == 1


def test_a_mirror_exchanges_the_sides_and_is_undone_by_a_mirror() -> None:
    rng = np.random.default_rng(1)
    dance = standing() + np.cumsum(rng.normal(0, 0.02, (60, 22, 3)), 0).astype(np.float32)
    assert (mirror(mirror(dance)) == dance).all()
    here, there = features.geometric(dance), features.geometric(mirror(dance))
    assert np.concatenate([there[13:26], there[:13], there[26:]]) == pytest.approx(here)


def test_features_are_read_by_the_spread_of_real_ones() -> None:
    rng = np.random.default_rng(2)
    real = np.concatenate([rng.normal(3, [1, 5], (400, 2)), np.ones((400, 1))], 1)
    z = features.standardised(real, real)
    assert z.mean(0) == pytest.approx(0, abs=1e-9)
    assert z.std(0) == pytest.approx([1, 1, 0])
    assert (
        features.standardised(real + np.array([0, 0, 9]), real)[:, 2].max() == 0
    )  # of what never varies nothing can be said
    assert frechet.distance(frechet.Moments.of(z), frechet.Moments.of(z)) == pytest.approx(0, abs=1e-6)


def test_diversity_is_the_mean_distance() -> None:
    triangle = np.array([[0.0, 0], [3, 0], [0, 4]])
    assert features.diversity(triangle) == pytest.approx((3 + 4 + 5) / 3)
    assert math.isnan(features.diversity(triangle[:1]))
