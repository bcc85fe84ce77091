"""Features of whole motions, over which sets of dances are compared: FID_k and Dist_k, FID_g and Dist_g.

Both take poses [..., T, 22, 3] of one length. For a Frechet distance or a mean distance they are first `standardised`
with the real motions' mean and deviation, as in Li et al. 2021 (FACT) and all that followed.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from pipeline.motion.skeleton import FPS, JOINTS, Poses, mirror

Features = NDArray[np.float64]  # [..., D]
Relation = NDArray[np.bool_]  # [..., T]
Vectors = NDArray[np.float64]  # [..., T, 3]

KINETIC, GEOMETRIC = 66, 32  # D
COS_70 = np.cos(np.radians(70))


def kinetic(poses: Poses) -> Features:
    """Kinetic features [..., 66] (Onuma et al. 2008): for each of the 22 joints the mean over frames of its squared
    horizontal speed, of its squared vertical speed, m^2/s^2, and of its acceleration's length, m/s^2.

    Derivatives are central differences in world space, which at 30 fps see about what the published window of five
    differences sees at 60. AIST++ takes 24 joints (72-d); LODGE the 22 of this skeleton, as here.
    """
    velocity = np.gradient(poses.astype(np.float64), 1 / FPS, axis=-3)
    acceleration = np.gradient(velocity, 1 / FPS, axis=-3)
    flat = (velocity[..., [0, 2]] ** 2).sum(-1).mean(-2)
    parts = [flat, (velocity[..., 1] ** 2).mean(-2), np.linalg.norm(acceleration, axis=-1).mean(-2)]
    return np.stack(parts, -1).reshape(*poses.shape[:-3], KINETIC)


def geometric(poses: Poses) -> Features:
    """Geometric features [..., 32] (Mueller et al. 2005, table 1): the share of frames in which each of 32 relations of
    the body holds: 13 of each side, right then left, and 6 of both. Thresholds are in lengths of the dancer's own upper
    arm, shoulders and hips, so that tall and small dancers of one pose agree."""
    right, left = _Body(poses), _Body(mirror(poses))
    relations = [*_of_the_right(right), *_of_the_right(left), *_of_both(right)]
    return np.stack([relation.mean(-1) for relation in relations], -1)


def standardised(features: Features, real: Features) -> Features:
    """Features [N, D] less the mean of real ones [M, D], in their deviations. What does not vary among real motions
    has no scale to be read by, and is 0."""
    spread = real.std(0)
    varies = spread > 1e-8
    return np.where(varies, (features - real.mean(0)) / np.where(varies, spread, 1), 0.0)


def diversity(features: Features) -> float:
    """Mean Euclidean distance between two of the features [N, D]: Dist_k, Dist_g. NaN for fewer than two."""
    return float(pdist(features).mean()) if len(features) > 1 else float("nan")


class _Body:
    """Joints of a motion by name, their velocities, and the dancer's own units of length [..., 1]."""

    def __init__(self, poses: Poses) -> None:
        self._poses = poses.astype(np.float64)
        self._velocities = np.gradient(self._poses, 1 / FPS, axis=-3)
        self.arm = (self._length("r_shoulder", "r_elbow") + self._length("l_shoulder", "l_elbow")) / 2
        self.shoulders = self._length("l_shoulder", "r_shoulder")
        self.hips = self._length("l_hip", "r_hip")
        self.floor = self._poses[..., 1].min(-1)  # height of the lowest joint [..., T]

    def __getitem__(self, joint: str) -> Vectors:
        """Positions [..., T, 3] of a joint."""
        return self._poses[..., JOINTS.index(joint), :]

    def height(self, joint: str) -> NDArray[np.float64]:
        """Height [..., T] of a joint above the lowest one."""
        return self[joint][..., 1] - self.floor

    def speed(self, joint: str) -> NDArray[np.float64]:
        """Speed [..., T] of a joint."""
        return np.linalg.norm(self._velocities[..., JOINTS.index(joint), :], axis=-1)

    def moving(self, joint: str, base: str, direction: Vectors) -> NDArray[np.float64]:
        """Speed [..., T] of a joint relative to another one along a direction."""
        relative = self._velocities[..., JOINTS.index(joint), :] - self._velocities[..., JOINTS.index(base), :]
        return _along(relative, direction)

    def bend(self, *ends: str) -> NDArray[np.float64]:
        """Angle [..., T] in degrees between the vectors from the first to the second and the third to the fourth."""
        first, second = self[ends[1]] - self[ends[0]], self[ends[3]] - self[ends[2]]
        crossed = np.linalg.norm(np.cross(first, second), axis=-1)
        return np.degrees(np.arctan2(crossed, (first * second).sum(-1)))

    def _length(self, a: str, b: str) -> NDArray[np.float64]:
        return np.asarray(np.median(np.linalg.norm(self[a] - self[b], axis=-1), axis=-1, keepdims=True))


def _along(vectors: Vectors, direction: Vectors) -> NDArray[np.float64]:
    """Length [..., T] of vectors along a direction."""
    return (vectors * direction).sum(-1) / np.maximum(np.linalg.norm(direction, axis=-1), 1e-9)


def _of_the_right(body: _Body) -> list[Relation]:
    """The 13 relations of arm and leg of the right side."""
    hand, chest, neck, root = (body[j] for j in ("r_wrist", "spine3", "neck", "pelvis"))
    forwards = np.cross(body["r_hip"] - neck, body["l_hip"] - neck)
    before_left_leg = np.cross(body["l_foot"] - root, body["l_hip"] - root)
    return [
        body.moving("r_wrist", "neck", forwards) > 1.8 * body.arm,  # hand moves forwards
        _along(hand - neck, neck - chest) > 0.2 * body.arm,  # hand above the neck
        body.moving("r_wrist", "spine3", chest - body["spine1"]) > 1.8 * body.arm,  # hand moves up
        body.bend("r_elbow", "r_shoulder", "r_elbow", "r_wrist") < 110,  # elbow bent
        body.moving("r_wrist", "pelvis", hand - root) > 1.4 * body.arm,  # hand moves away from the pelvis
        body.speed("r_wrist") > 2.5 * body.arm,  # hand fast
        body.height("r_wrist") < 1.2 * body.arm,  # hand lowered
        body.bend("neck", "pelvis", "r_shoulder", "r_elbow") > 25,  # upper arm away from the trunk
        _along(body["r_ankle"] - root, before_left_leg)
        > 0.38 * body.arm,  # foot in front of the plane of the other leg
        body.height("r_ankle") > 1.2 * body.arm,  # foot raised
        body.bend("r_knee", "r_hip", "r_knee", "r_ankle") < 110,  # knee bent
        body.speed("r_ankle") > 2.5 * body.arm,  # foot fast
        body.bend("neck", "pelvis", "r_hip", "r_knee") > 50,  # thigh away from the trunk's line
    ]


def _of_both(body: _Body) -> list[Relation]:
    """The 6 relations of the body as a whole."""
    left, right, root = body["l_wrist"], body["r_wrist"], body["pelvis"]
    backwards = np.cross(body["l_ankle"] - body["neck"], body["r_ankle"] - body["neck"])
    trunk = body["neck"] - root
    return [
        _along(right - left, body["r_shoulder"] - body["l_shoulder"]) > 2.5 * body.shoulders,  # hands far apart
        body.moving("r_wrist", "l_wrist", left - right) > 1.4 * body.arm,  # hands approach each other
        _along(body["r_ankle"] - body["l_ankle"], body["r_hip"] - body["l_hip"]) > 2.1 * body.hips,  # feet far apart
        _along(root - body["r_ankle"], backwards) > 0.5 * body.arm,  # pelvis behind the plane of feet and neck
        np.abs(trunk[..., 1]) < COS_70 * np.linalg.norm(trunk, axis=-1),  # trunk within 20 degrees of level
        body.speed("pelvis") > 2.3 * body.arm,  # pelvis fast
    ]
