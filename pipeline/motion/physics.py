"""Whether a motion could have been danced by a body on a floor: measures of poses [T, 22, 3], NaN where too short.

Real dances are not at the floor of these measures, so read every value beside theirs (docs/motion.md). All but
`foot_contact`, which is unitless by its definition, do not depend on the frame rate.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.motion.skeleton import ANKLES, FPS, TOES, Poses, bone_lengths

FLOOR_ANKLE, FLOOR_TOE = 0.08, 0.05  # metres: a foot whose ankle and toe are both lower is on the floor
SLIDING = 0.3  # metres a second over the floor: 1 cm a frame
FLAT, UP = [0, 2], 1


def foot_contact(poses: Poses) -> float:
    """Physical Foot Contact score of EDGE (Tseng et al. 2023, eq. 7), >= 0, less is better: how much the body
    accelerates while neither foot stands.

    Mean over frames of |a| / max |a| * v_left * v_right * 10^4: a the acceleration of the pelvis, of its vertical part
    only what points up; v the displacement over the floor, metres a frame, of the slower of ankle and toe. Of a body
    that does not accelerate it is 0.
    """
    if len(poses) < 3:
        return float("nan")
    acceleration = np.diff(poses[:, 0].astype(np.float64), 2, axis=0)
    acceleration[:, UP] = np.maximum(acceleration[:, UP], 0)
    force = np.linalg.norm(acceleration, axis=-1)
    if not force.max():
        return 0.0
    left, right = _foot_steps(poses).min(-1)[1:].T
    return float((force / force.max() * left * right).mean() * 1e4)


def foot_skating(poses: Poses) -> float:
    """Share in [0, 1] of the time that feet are on the floor in which they slide over it, both feet counted (foot
    skating ratio of LODGE, Li et al. 2024). NaN where no foot ever is.

    On the floor: ankle and toe lower than FLOOR_ANKLE and FLOOR_TOE. Sliding: either is faster than SLIDING.
    """
    heights = poses[:-1, :, UP]
    standing = np.logical_and(heights[:, ANKLES] < FLOOR_ANKLE, heights[:, TOES] < FLOOR_TOE)
    sliding = _foot_steps(poses).max(-1) * FPS > SLIDING
    return float(sliding[standing].mean()) if standing.any() else float("nan")


def bone_deviation(poses: Poses) -> float:
    """Mean over bones and frames of |length - median| / median, >= 0, the median that of the bone in this motion."""
    if not len(poses):
        return float("nan")
    lengths = bone_lengths(poses.astype(np.float64))
    usual = np.median(lengths, axis=0)
    return float((np.abs(lengths - usual) / np.maximum(usual, 1e-6)).mean())


def jerk(poses: Poses) -> float:
    """Mean over joints and frames of the third derivative's length, metres a second cubed (Flash and Hogan 1985)."""
    if len(poses) < 4:
        return float("nan")
    third = np.diff(poses.astype(np.float64), 3, axis=0) * FPS**3
    return float(np.linalg.norm(third, axis=-1).mean())


def _foot_steps(poses: Poses) -> NDArray[np.float64]:
    """Distances over the floor [T - 1, foot, (ankle, toe)] from each frame to the next, metres; the left foot first."""
    feet = poses[:, [list(pair) for pair in zip(ANKLES, TOES, strict=True)]].astype(np.float64)
    steps: NDArray[np.float64] = np.linalg.norm(np.diff(feet, axis=0)[..., FLAT], axis=-1)
    return steps
