"""The one body that all dances are told on, and how a motion of another body comes to it.

Carriers differ in proportions by up to a third, and a network would learn from the thigh which genre it is. So every
bone keeps its direction and takes the length it has here, and the path of the root is scaled by the legs: feet that
stood stand still, as nearly as before (docs/dance.md has the figures).
"""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from pipeline.datasets.dance.kinematics import Array, forward
from pipeline.motion.skeleton import BONES, FEET, FPS, JOINTS, PARENTS, Poses

# Metres, of an adult of 1.7 m: near the middle of the carriers, even numbers, left and right alike.
LENGTHS = {
    "hip": 0.11, "spine1": 0.16, "knee": 0.40, "spine2": 0.07, "ankle": 0.42, "spine3": 0.07, "foot": 0.13,
    "neck": 0.21, "collar": 0.16, "head": 0.09, "shoulder": 0.13, "elbow": 0.27, "wrist": 0.25,
}  # fmt: skip
# Directions in a T pose that faces +z, of the left side; about those of SMPL's template.
REST = {
    "hip": (0.6, -0.8, 0.0), "spine1": (0, 1, 0), "knee": (0, -1, 0), "spine2": (0, 1, 0), "ankle": (0, -1, -0.05),
    "spine3": (0, 1, 0), "foot": (0.2, -0.45, 0.9), "neck": (0, 1, -0.1), "collar": (0.55, 0.8, -0.1),
    "head": (0, 1, 0.3), "shoulder": (0.9, 0.2, -0.1), "elbow": (1, 0, -0.05), "wrist": (1, 0, 0),
}  # fmt: skip
LEG = (4, 5, 7, 8)  # joints at the ends of thighs and shins
SMPL_LEGS = 1.56  # metres, thighs and shins of SMPL's template: how far its root travels
FLOOR_PERCENTILE = 2.0  # of the lower foot's height: a few frames may lie below the floor, noise does
SPARED = 0.35  # frames of the result, Gaussian, of what is smoothed before frames are left out


def length(joint: int) -> float:
    """Metres between a joint and its parent."""
    return LENGTHS[JOINTS[joint].removeprefix("l_").removeprefix("r_")]


def rest_offsets() -> Array:
    """Offsets [22, 3] in metres of all joints from their parents in the T pose; the pelvis' is zero."""
    offsets = np.zeros((len(JOINTS), 3))
    for _, joint in BONES:
        name = JOINTS[joint]
        direction = np.array(REST[name.removeprefix("l_").removeprefix("r_")], np.float64)
        direction *= (-1 if name.startswith("r_") else 1, 1, 1)
        offsets[joint] = direction / np.linalg.norm(direction) * length(joint)
    return offsets


def resample(positions: Array, fps: float) -> Array:
    """Positions [T, ...] at `fps` frames a second, at FPS; smoothed first where that leaves out frames."""
    if fps > 1.5 * FPS:
        positions = gaussian_filter1d(positions, SPARED * fps / FPS, axis=0)
    seconds = np.arange(len(positions)) / fps
    wanted = np.arange(0, seconds[-1] + 1e-9, 1 / FPS)
    return np.asarray(CubicSpline(seconds, positions, axis=0)(wanted))


def retarget(positions: Array) -> Poses:
    """Positions [T, 22, 3] of any body as `Poses` of the one body, on the floor, beginning above the origin."""
    thighs_and_shins = [np.linalg.norm(positions[:, j] - positions[:, PARENTS[j]], axis=-1) for j in LEG]
    scaled = positions * sum(map(length, LEG)) / np.median(thighs_and_shins, axis=1).sum()
    moved = np.empty_like(scaled)
    moved[:, 0] = scaled[:, 0]
    for parent, joint in BONES:
        bone = scaled[:, joint] - scaled[:, parent]
        moved[:, joint] = moved[:, parent] + length(joint) * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    return grounded(moved)


def posed(turns: Array, root: Array, fps: float) -> Poses:
    """`Poses` of SMPL's rotations [T, 22, 3, 3], each relative to its parent, and places [T, 3] of its root in metres.
    Without SMPL's template, which is not free, bones have the directions of REST."""
    positions = forward(PARENTS, rest_offsets()[None], turns)
    return retarget(resample(positions + (root * (sum(map(length, LEG)) / SMPL_LEGS))[:, None], fps))


def grounded(positions: Array) -> Poses:
    """Positions [T, 22, 3] moved so that the floor is at 0 and the first root above the origin."""
    floor = np.percentile(positions[:, list(FEET), 1].min(1), FLOOR_PERCENTILE)
    return (positions - (positions[0, 0, 0], floor, positions[0, 0, 2])).astype(np.float32)
