"""What a network sees of a motion: WIDTH numbers a frame that do not change if the dancer moves or turns.

Of joint positions [..., T, 22, 3] (motion/skeleton.py): turning, root velocity and joints are expressed in a frame
that follows the dancer's heading, as in HumanML3D (Guo et al. 2022):

    0        turning, radians a frame (counter-clockwise from above)
    1:3      velocity of the root over the floor, x and z in the heading's frame, metres a frame
    3        height of the root, metres
    4:67     the other 21 joints relative to the root's place on the floor, heading along +z, metres
    67:71    contact of FEET with the floor, in {0, 1}

The last frame repeats the velocities of the one before. Heading and place of the first frame are lost.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.motion.skeleton import BONES, FEET, FPS, PARENTS, TOES

WIDTH = 71
TURN, VELOCITY, HEIGHT, JOINTS, CONTACT = slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 67), slice(67, 71)
SPEED_LIMIT = 0.25  # metres a second: a foot that is slower ...
HEIGHT_LIMIT = (0.12, 0.07)  # ... and whose ankle, toe is below, metres, stands


def heading(poses: Tensor) -> Tensor:
    """Angle [..., T] in radians by which the dancer is turned from +z towards +x, by hips and shoulders."""
    across = poses[..., 1, :] - poses[..., 2, :] + poses[..., 16, :] - poses[..., 17, :]  # right to left
    return torch.atan2(-across[..., 2], across[..., 0])


def turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """Vectors [..., 3] turned about Y by `angle` [...], from +z towards +x."""
    c, s = angle.cos(), angle.sin()
    x, y, z = vectors.unbind(-1)
    return torch.stack([c * x + s * z, y, c * z - s * x], -1)


def contacts(poses: Tensor) -> Tensor:
    """Which of FEET stand [..., T, 4], 0 or 1."""
    feet = poses[..., list(FEET), :]
    speed = (feet[..., 1:, :, :] - feet[..., :-1, :, :]).norm(dim=-1) * FPS
    speed = torch.cat([speed, speed[..., -1:, :]], -2)
    limit = torch.tensor([HEIGHT_LIMIT[joint in TOES] for joint in FEET], device=poses.device)
    return ((speed < SPEED_LIMIT) & (feet[..., 1] < limit)).to(poses.dtype)


def encode(poses: Tensor) -> Tensor:
    """Features [..., T, WIDTH] of joint positions [..., T, 22, 3] in metres."""
    angle = heading(poses)
    root = poses[..., 0, :] * poses.new_tensor([1, 0, 1])
    turn = torch.diff(angle, dim=-1)
    turn = torch.atan2(turn.sin(), turn.cos())
    velocity = turned(torch.diff(root, dim=-2), -angle[..., :-1])[..., [0, 2]]
    moves = torch.cat([turn[..., None], velocity], -1)
    local = turned(poses[..., 1:, :] - root[..., None, :], -angle[..., None]).flatten(-2)
    return torch.cat([torch.cat([moves, moves[..., -1:, :]], -2), poses[..., 0, 1:2], local, contacts(poses)], dim=-1)


def decode(features: Tensor) -> Tensor:
    """Joint positions [..., T, 22, 3] of features [..., T, WIDTH]; starts above the origin, facing +z."""
    first = torch.zeros_like(features[..., :1, 0])
    angle = torch.cat([first, features[..., :-1, 0].cumsum(-1)], -1)
    flat = F.pad(features[..., :-1, VELOCITY], (0, 1))[..., [0, 2, 1]]  # x, 0, z
    steps = turned(flat, angle[..., :-1]).cumsum(-2)
    root = torch.cat([torch.zeros_like(steps[..., :1, :]), steps], -2)
    joints = turned(features[..., JOINTS].unflatten(-1, (21, 3)), angle[..., None]) + root[..., None, :]
    up = features[..., HEIGHT] * features.new_tensor([0, 1, 0])
    return torch.cat([(root + up)[..., None, :], joints], -2)


def bone_lengths(poses: Tensor) -> Tensor:
    """Lengths [..., T, 21] of the bones of poses [..., T, 22, 3], metres."""
    parents, joints = (list(side) for side in zip(*BONES, strict=True))
    return (poses[..., joints, :] - poses[..., parents, :]).norm(dim=-1)


def with_lengths(poses: Tensor, lengths: Tensor) -> Tensor:
    """Poses [..., T, 22, 3] whose bones point where they pointed and have `lengths` [21] in metres, in BONES' order.

    The root stays, but for its height: the lower of the two feet stays as high as it was.
    """
    made = [poses[..., 0, :]]
    for joint in range(1, len(PARENTS)):
        bone = poses[..., joint, :] - poses[..., PARENTS[joint], :]
        unit = bone / bone.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        made.append(made[PARENTS[joint]] + unit * lengths[joint - 1])
    found = torch.stack(made, -2)
    lift = poses[..., list(FEET), 1].amin(-1) - found[..., list(FEET), 1].amin(-1)  # [..., T]
    return found + lift[..., None, None] * found.new_tensor([0, 1, 0])
