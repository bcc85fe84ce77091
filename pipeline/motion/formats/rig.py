"""From where joints are to how bones turn: a rigid skeleton that follows poses, for formats that store angles.

Poses do not say how a limb turns about its own axis, so bones with one child swing by the least angle that reaches it
and do not twist. A joint with several children turns as fits them best (Kabsch 1976), its children held as far from
each other as they usually are. What is lost is how bones stretch and shoulders shift: of real dances 0.2 to 5 mm.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.motion.skeleton import BONES, JOINTS, PARENTS, Poses

Vectors = NDArray[np.float64]  # [..., 3]

CHILDREN = tuple(tuple(child for parent, child in BONES if parent == joint) for joint in range(len(JOINTS)))
ROUNDS = 4  # of fitting how the children of a joint stand to each other
# Where bones point at rest, arms out, facing +z; the others point up.
REST = {
    **dict.fromkeys(("l_hip", "l_collar", "l_shoulder", "l_elbow", "l_wrist"), (1.0, 0.0, 0.0)),
    **dict.fromkeys(("r_hip", "r_collar", "r_shoulder", "r_elbow", "r_wrist"), (-1.0, 0.0, 0.0)),
    **dict.fromkeys(("l_knee", "r_knee", "l_ankle", "r_ankle"), (0.0, -1.0, 0.0)),
    **dict.fromkeys(("l_foot", "r_foot"), (0.0, -0.4, 0.9)),
}


@dataclasses.dataclass(frozen=True)
class Rig:
    """A skeleton and how it moves."""

    offsets: Vectors  # [22, 3] metres from each joint's parent, at rest; 0 for the root
    root: Vectors  # [T, 3] metres
    turns: tuple[Rotation, ...]  # of each joint, T rotations relative to its parent

    def positions(self) -> Vectors:
        """Where the joints come to be, [T, 22, 3] metres."""
        placed, facing = [self.root], [self.turns[0]]
        for joint, parent in enumerate(PARENTS[1:], 1):
            placed.append(placed[parent] + facing[parent].apply(self.offsets[joint]))
            facing.append(facing[parent] * self.turns[joint])
        return np.stack(placed, 1)


def follow(poses: Poses) -> Rig:
    """The rig of this dancer's usual bone lengths that is nearest to poses [T, 22, 3]."""
    joints = poses.astype(np.float64)
    offsets = _offsets(joints)
    facing, placed = [Rotation.identity(len(joints))] * len(JOINTS), joints.copy()
    for joint, several in enumerate(CHILDREN):
        children, carried = list(several), facing[max(PARENTS[joint], 0)]
        # From where the joint came to be, not where it was: so what is lost at one joint is made good at the next.
        bones = joints[:, children] - placed[:, [joint]]
        if len(children) > 1:
            carried = _fitting(offsets[children], bones)
        elif children:
            carried = _swing(carried.apply(offsets[children[0]]), bones[:, 0]) * carried
        facing[joint] = carried
        for child in children:
            placed[:, child] = placed[:, joint] + carried.apply(offsets[child])
    turns = [f if p < 0 else facing[p].inv() * f for p, f in zip(PARENTS, facing, strict=True)]
    return Rig(offsets, joints[:, 0], tuple(turns))


def _offsets(joints: Vectors) -> Vectors:
    """Offsets [22, 3] at rest: the directions of REST in the usual lengths, siblings as they usually stand."""
    offsets = np.zeros((len(JOINTS), 3))
    for parent, child in BONES:
        length = np.median(np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1))
        direction = np.array(REST.get(JOINTS[child], (0.0, 1.0, 0.0)))
        offsets[child] = direction / np.linalg.norm(direction) * length
    for joint, several in enumerate(CHILDREN):
        if len(several) > 1:
            children = list(several)
            bones = joints[:, children] - joints[:, [joint]]
            for _ in range(ROUNDS):
                back = _fitting(offsets[children], bones).inv().as_matrix()
                offsets[children] = np.einsum("tij,tkj->tki", back, bones).mean(0)
    return offsets


def _fitting(rest: Vectors, bones: Vectors) -> Rotation:
    """T rotations that bring K vectors [K, 3] nearest to bones [T, K, 3] (Kabsch)."""
    u, _, vt = np.linalg.svd(np.einsum("tki,kj->tij", bones, rest))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a turn, no mirror
    return Rotation.from_matrix(u @ vt)


def _swing(before: Vectors, after: Vectors) -> Rotation:
    """The least T rotations that turn vectors [T, 3] into the direction of others."""
    axis = np.cross(before, after)
    angle = np.arctan2(np.linalg.norm(axis, axis=-1), (before * after).sum(-1))
    sideways = np.cross(before, np.eye(3)[np.abs(before).argmin(-1)])  # to turn right round, any axis across will do
    axis = np.where((angle > np.pi - 1e-6)[:, None], sideways, axis)
    return Rotation.from_rotvec(axis * (angle / np.maximum(np.linalg.norm(axis, axis=-1), 1e-12))[:, None])
