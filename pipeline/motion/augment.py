"""Other dances of the same dance, for training: seen in a mirror, turned, faster or slower with their music.

All are functions of a motion [..., T, 22, 3] in metres; velocities, turning and contact follow from it, so features
(representation.py) are made afterwards. `faster` takes whatever goes with the dance frame by frame as well.
"""

import torch
from torch import Tensor

from pipeline.motion.representation import turned
from pipeline.motion.skeleton import MIRRORED


def mirrored(poses: Tensor) -> Tensor:
    """The motion [..., T, 22, 3] as seen in a mirror: left and right exchanged, x negated."""
    return poses[..., list(MIRRORED), :] * poses.new_tensor([-1, 1, 1])


def yawed(poses: Tensor, angle: float) -> Tensor:
    """The motion [..., T, 22, 3] turned about the vertical through the origin by radians, from +z towards +x. Features
    do not change; what looks at positions does."""
    return turned(poses, poses.new_full(poses.shape[:-1], angle))


def faster(frames: Tensor, factor: float) -> Tensor:
    """A sequence [T >= 2, ...] at `factor` times its tempo, [floor((T - 1) / factor) + 1, ...]: Catmull-Rom splines
    through the frames (1974), so that speeds are continuous. Give a dance and its music the same factor.

    Tempi of 0.8 to 1.25 stay within what the same steps are danced to.
    """
    count = len(frames)
    at = torch.arange(int((count - 1) / factor + 1e-6) + 1, device=frames.device, dtype=torch.float64) * factor
    left = at.long().clamp_max(count - 2)
    u = (at - left).to(frames.dtype).view(-1, *[1] * (frames.dim() - 1))
    around = torch.cat([2 * frames[:1] - frames[1:2], frames, 2 * frames[-1:] - frames[-2:-1]])  # carried on straight
    before, start, end, after = (around[left + step] for step in range(4))
    slope, next_slope = (end - before) / 2, (after - start) / 2
    bend = 3 * (end - start) - 2 * slope - next_slope
    return start + u * (slope + u * (bend + u * (slope + next_slope - 2 * (end - start))))
