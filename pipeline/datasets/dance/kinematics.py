"""Rotations as they stand in files of motion capture -> matrices; forward kinematics of a tree of joints."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
AXES = "XYZ"


def about(axis: str, degrees: ArrayLike) -> Array:
    """Matrices [..., 3, 3] that turn about one of AXES by angles [...]."""
    angle = np.deg2rad(np.asarray(degrees, np.float64))
    first, second = (AXES.index(axis) + 1) % 3, (AXES.index(axis) + 2) % 3
    matrices = np.zeros((*angle.shape, 3, 3))
    matrices[...] = np.eye(3)
    matrices[..., first, first] = matrices[..., second, second] = np.cos(angle)
    matrices[..., second, first] = np.sin(angle)
    matrices[..., first, second] = -np.sin(angle)
    return matrices


def euler(axes: Sequence[str], degrees: Array) -> Array:
    """Matrices [T, 3, 3]: the product of turns about `axes`, from left to right, by degrees [T, len(axes)]."""
    matrices = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for axis, angle in zip(axes, degrees.T, strict=True):
        matrices = matrices @ about(axis, angle)
    return matrices


def from_vectors(vectors: Array) -> Array:
    """Matrices [..., 3, 3] of rotation vectors [..., 3] in radians, axis times angle (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross


def from_six(values: Array) -> Array:
    """Matrices [..., 3, 3] of their first two *rows* [..., 6], as PyTorch3D writes them (Zhou et al. 2019: columns),
    made orthonormal by Gram and Schmidt."""
    first = values[..., :3] / np.linalg.norm(values[..., :3], axis=-1, keepdims=True)
    second = values[..., 3:] - (first * values[..., 3:]).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], -2)


def forward(parents: Sequence[int], offsets: Array, rotations: Array) -> Array:
    """Positions [T, J, 3] of joints whose `offsets` [T or 1, J, 3] are told in the turned frame of their parent.

    `rotations` [T, J, 3, 3] are relative to the parent's. A parent (-1: none) stands before its children.
    """
    positions = np.empty((*rotations.shape[:2], 3))
    turned = np.empty_like(rotations)
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], turned[:, joint] = offsets[:, joint], rotations[:, joint]
            continue
        moved = np.einsum("tij,tj->ti", turned[:, parent], np.broadcast_to(offsets[:, joint], positions[:, 0].shape))
        positions[:, joint] = positions[:, parent] + moved
        turned[:, joint] = turned[:, parent] @ rotations[:, joint]
    return positions
