"""pipeline/datasets/dance: body.py and carriers.py."""

import numpy as np
import pytest

from pipeline.datasets.dance import body, bvh
from pipeline.datasets.dance.carriers import ACCLAIM, DAZ, ICLONE, MOTORICA, Carrier, assemble
from pipeline.datasets.dance.reading import Lines
from pipeline.motion.skeleton import BONES, FEET, FPS, JOINTS, MIRRORED, bone_lengths
from tests import dancer, mocap

LENGTHS = np.array([body.length(joint) for _, joint in BONES])


def walk(poses: np.ndarray) -> np.ndarray:
    """The dancer carried two metres along x."""
    return poses + np.linspace(0, 2, len(poses))[:, None, None] * np.array([1, 0, 0])


def test_bones_take_their_lengths_and_keep_their_directions() -> None:
    for poses in dancer.real().values():
        found = body.retarget(poses.astype(np.float64) * 1.3)
        np.testing.assert_allclose(bone_lengths(found), np.tile(LENGTHS, (len(found), 1)), atol=1e-5)
        for parent, joint in BONES:
            before, after = poses[:, joint] - poses[:, parent], found[:, joint] - found[:, parent]
            cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)
            assert cosine.min() > 1 - 1e-5


def test_a_body_of_the_same_proportions_dances_the_same_dance() -> None:
    poses = body.retarget(walk(dancer.standing()))
    np.testing.assert_allclose(body.retarget(1.4 * poses.astype(np.float64)), poses, atol=1e-5)


def test_the_dance_begins_above_the_origin_with_a_foot_on_the_floor() -> None:
    found = body.retarget(walk(dancer.standing()) + np.array([5, 3, -2]))
    assert found[0, 0, [0, 2]].tolist() == [0, 0]
    assert found[:, FEET, 1].min() == pytest.approx(0, abs=1e-6)
    assert found.dtype == np.float32


def test_feet_that_stand_still_go_on_standing() -> None:
    poses = dancer.standing(90).astype(np.float64)
    bent = np.sin(np.arange(90) / 7)[:, None]
    poses[:, 12:] += 0.1 * bent[:, None] * np.array([1, 0, 0])  # the upper body leans, legs and pelvis stay
    found = body.retarget(poses)
    assert np.ptp(found[:, FEET], axis=0).max() < 1e-5


def test_the_rest_pose_is_a_body_that_is_its_own_mirror_image() -> None:
    offsets = body.rest_offsets()
    np.testing.assert_allclose(offsets[list(MIRRORED)] * (-1, 1, 1), offsets, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(offsets[1:], axis=-1), LENGTHS, atol=1e-12)


def test_rotations_of_smpl_become_poses() -> None:
    turns = np.tile(np.eye(3), (60, 22, 1, 1))
    root = np.zeros((60, 3))
    still = body.posed(turns, root, FPS)
    np.testing.assert_allclose(still[0, 15, [0, 2]], (body.rest_offsets()[[3, 6, 9, 12, 15]].sum(0))[[0, 2]], atol=1e-5)
    turns[:, 0] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # a quarter about y, from +z to +x
    np.testing.assert_allclose(body.posed(turns, root, FPS), still @ turns[0, 0].T, atol=1e-5)
    root[:, 0] = np.linspace(0, body.SMPL_LEGS, 60)
    legs = sum(body.length(joint) for joint in body.LEG)
    assert body.posed(turns, root, FPS)[-1, 0, 0] == pytest.approx(legs, abs=1e-5)


@pytest.mark.parametrize("fps", [25, 30, 60, 120])
def test_resampling_keeps_time(fps: float) -> None:
    seconds = np.arange(fps * 2 + 1) / fps
    found = body.resample(np.sin(2 * np.pi * seconds)[:, None, None], fps)
    assert len(found) == 2 * FPS + 1
    np.testing.assert_allclose(found[2:-2, 0, 0], np.sin(2 * np.pi * np.arange(61) / FPS)[2:-2], atol=0.004)


@pytest.mark.parametrize("carrier", [DAZ, ICLONE, ACCLAIM, MOTORICA])
def test_a_carrier_names_all_joints_and_each_side_its_own(carrier: Carrier) -> None:
    assert list(carrier.joints) == list(JOINTS)
    for joint, name in enumerate(JOINTS):
        assert (carrier.joints[name] == carrier.joints[JOINTS[MIRRORED[joint]]]) == (joint == MIRRORED[joint])


@pytest.mark.parametrize("carrier", [DAZ, ICLONE, MOTORICA])
def test_a_dancer_is_the_same_in_every_carrier(carrier: Carrier) -> None:
    places = bvh.positions(bvh.parse(Lines(mocap.dancing(carrier, 1, said_fps=120), "tiny")))
    positions = assemble(places, carrier)
    assert len(positions) == carrier.fps
    height = positions[:, 15, 1].max() - positions[:, FEET, 1].min()
    assert 1.3 < height < 1.7  # up to where the head begins
    assert positions[:, 1, 0].min() - positions[:, 2, 0].max() == pytest.approx(0.13, abs=0.3)
    assert np.argmax(np.ptp(positions[:, 0], axis=0)) == 0
