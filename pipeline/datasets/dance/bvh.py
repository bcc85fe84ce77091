"""Biovision BVH -> joint positions, by forward kinematics.

A joint stands at its parent's place plus its OFFSET (and position channels) in the parent's turned frame, and turns by
its rotation channels from left to right. The End Site of a joint J is a joint of its own, called "J end".
"""

import dataclasses
from pathlib import Path

import numpy as np

from pipeline.datasets.dance.kinematics import Array, euler, forward
from pipeline.datasets.dance.reading import MAX_FRAMES, MAX_JOINTS, Lines

POSITIONS = ("Xposition", "Yposition", "Zposition")
ROTATIONS = ("Xrotation", "Yrotation", "Zrotation")


@dataclasses.dataclass(frozen=True)
class Joint:
    """One joint of the hierarchy."""

    name: str
    parent: int  # -1: the root
    offset: tuple[float, ...]  # x, y, z
    channels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Bvh:
    """A file as it stands."""

    joints: tuple[Joint, ...]  # parents before their children, in the order of their channels
    frames: Array  # [T, sum of the joints' channels]
    fps: float


def read(path: Path) -> Bvh:
    """A file. Raises FormatError, which names the line."""
    return parse(Lines.of(path))


def parse(lines: Lines) -> Bvh:
    """The lines of a file."""
    joints = _hierarchy(lines)
    width = sum(len(joint.channels) for joint in joints)
    count = lines.count(lines.take("Frames:"), MAX_FRAMES)
    (seconds,) = lines.numbers(lines.take("Frame", "Time:"), 1)
    if not 1e-4 <= seconds <= 1:
        lines.fail(f"a frame time of {seconds} s; 0.0001 to 1 are read")
    frames = np.array([lines.numbers(lines.take(), width) for _ in range(count)]).reshape(count, width)
    if lines.peek():
        lines.take()
        lines.fail(f"more than the {count} frames that were announced")
    return Bvh(joints, frames, 1 / seconds)


def _hierarchy(lines: Lines) -> tuple[Joint, ...]:
    """Everything up to MOTION."""
    lines.take("HIERARCHY")
    joints: list[Joint] = []
    open_joints: list[int] = []  # from the root down to where the next line belongs
    while (words := lines.take())[0] != "MOTION":
        if words == ["}"] and open_joints:
            open_joints.pop()
        elif words[0] in ("ROOT", "JOINT", "End") and len(words) > 1 and bool(open_joints) == (words[0] != "ROOT"):
            parent = open_joints[-1] if open_joints else -1
            open_joints.append(len(joints))
            joints.append(_joint(lines, words, joints, parent))
        else:
            lines.fail(f"{' '.join(words)[:40]!r} where a joint should begin or end")
    if open_joints or not joints:
        lines.fail("MOTION before the hierarchy is complete")
    return tuple(joints)


def _joint(lines: Lines, words: list[str], joints: list[Joint], parent: int) -> Joint:
    """The joint that `words` begin, up to its first child."""
    name = f"{joints[parent].name} end" if words[0] == "End" else " ".join(words[1:])
    if len(joints) >= MAX_JOINTS or any(joint.name == name for joint in joints):
        lines.fail(f"joint {name!r} stands twice, or there are more than {MAX_JOINTS:,}")
    lines.take("{")
    offset = tuple(lines.numbers(lines.take("OFFSET"), 3))
    if words[0] == "End":
        return Joint(name, parent, offset, ())
    number, *channels = lines.take("CHANNELS") or [""]
    if number != str(len(channels)) or not set(channels) <= {*POSITIONS, *ROTATIONS}:
        lines.fail(f"channels {' '.join([number, *channels])!r} cannot be read")
    return Joint(name, parent, offset, tuple(channels))


def positions(bvh: Bvh) -> dict[str, Array]:
    """Name -> place [T, 3] of every joint, in the units of the file."""
    count = len(bvh.frames)
    offsets, rotations = np.empty((count, len(bvh.joints), 3)), np.empty((count, len(bvh.joints), 3, 3))
    column = 0
    for index, joint in enumerate(bvh.joints):
        values = bvh.frames[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        offsets[:, index] = joint.offset
        for channel, value in zip(joint.channels, values.T, strict=True):
            if channel in POSITIONS:
                offsets[:, index, POSITIONS.index(channel)] += value
        turns = [i for i, channel in enumerate(joint.channels) if channel in ROTATIONS]
        rotations[:, index] = euler([joint.channels[i][0] for i in turns], values[:, turns])
    places = forward([joint.parent for joint in bvh.joints], offsets, rotations)
    return {joint.name: places[:, index] for index, joint in enumerate(bvh.joints)}
