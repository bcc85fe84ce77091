"""The 22 body joints of SMPL, in the order of HumanML3D (Guo et al. 2022): the one skeleton of every motion here.

A motion is an array [T, 22, 3] of joint positions in metres, Y up, floor at 0, at FPS frames a second.
"""

import numpy as np
from numpy.typing import NDArray

Poses = NDArray[np.float32]  # [T, 22, 3]

FPS = 30
JOINTS = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot",
    "r_foot", "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist",
    "r_wrist",
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
BONES = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0)  # 21 of (parent, child)
MIRRORED = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)  # left <-> right
ANKLES, TOES = (7, 8), (10, 11)  # left, right
FEET = (*ANKLES, *TOES)  # in the order of the four contact channels


def bone_lengths(poses: Poses) -> NDArray[np.float32]:
    """Lengths [..., T, 21] in metres of BONES in poses [..., T, 22, 3]."""
    parents, joints = (list(side) for side in zip(*BONES, strict=True))
    lengths: NDArray[np.float32] = np.linalg.norm(poses[..., joints, :] - poses[..., parents, :], axis=-1)
    return lengths


def mirror(poses: Poses) -> Poses:
    """The motion [..., 22, 3] as seen in a mirror: left and right exchanged, x negated."""
    swapped: Poses = poses[..., list(MIRRORED), :] * np.array([-1, 1, 1], np.float32)
    return swapped
