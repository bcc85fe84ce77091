"""A dancer of known pose, what can be done to it, and a few seconds of real dances."""

from pathlib import Path

import numpy as np

from pipeline.motion.skeleton import FPS, JOINTS, PARENTS, Poses

OFFSETS = {
    "pelvis": (0, 0.92, 0), "l_hip": (0.09, -0.06, 0), "spine1": (0, 0.12, 0), "l_knee": (0.02, -0.4, 0.01),
    "spine2": (0, 0.13, 0), "l_ankle": (0, -0.4, -0.02), "spine3": (0, 0.08, 0), "l_foot": (0.02, -0.05, 0.12),
    "neck": (0, 0.2, 0), "l_collar": (0.08, 0.12, 0), "head": (0, 0.12, 0.03), "l_shoulder": (0.1, 0.02, 0),
    "l_elbow": (0.04, -0.26, -0.02), "l_wrist": (0.02, -0.24, 0.05),
}  # fmt: skip


def standing(frames: int = 60) -> Poses:
    """A dancer who stands still, facing +z, arms hanging."""
    pose = np.zeros((len(JOINTS), 3), np.float32)
    for joint, (name, parent) in enumerate(zip(JOINTS, PARENTS, strict=True)):
        side = -1 if name.startswith("r_") else 1
        offset = np.array(OFFSETS[name.replace("r_", "l_", 1) if side < 0 else name]) * (side, 1, 1)
        pose[joint] = offset + (pose[parent] if parent >= 0 else 0)
    return pose[None].repeat(frames, 0)


def moved(poses: Poses, *joints: str, by: np.ndarray) -> Poses:
    """The motion with some joints moved by [T, 3]."""
    out = poses.copy()
    out[:, [JOINTS.index(j) for j in joints]] += by[:, None].astype(np.float32)
    return out


def along(axis: int, metres: np.ndarray) -> np.ndarray:
    """Displacements [T, 3] along one axis."""
    return np.eye(3)[axis] * metres[:, None]


TIME = np.arange(60) / FPS


def real() -> dict[str, Poses]:
    """Two seconds each of real dances by genre, from the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu,
    created with funding from NSF EIA-0196217), which are free for all uses."""
    with np.load(Path(__file__).parent / "dances.npz") as file:
        return {genre: file[genre].astype(np.float32) / 1000 for genre in file.files}
