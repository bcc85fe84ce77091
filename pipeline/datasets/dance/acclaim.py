"""Acclaim skeleton (ASF) and motion (AMC) -> places of the bones' ends, by forward kinematics.

A bone b with direction d, length l and axes C ends at  end_b = end_parent + R_b d l,  R_b = R_parent C M C^T,  where
M = Rz Ry Rx holds the angles of the frame (Lander 1998, "Working with motion capture file formats").
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.datasets.dance.kinematics import Array, euler
from pipeline.datasets.dance.reading import MAX_FRAMES, MAX_JOINTS, Lines

ROOT_ORDER = ["TX", "TY", "TZ", "RX", "RY", "RZ"]
ROTATIONS = ("rx", "ry", "rz")


@dataclasses.dataclass(frozen=True)
class Bone:
    """One bone of a skeleton."""

    parent: str
    end: tuple[float, ...]  # of the bone from its beginning, x, y, z in the skeleton's rest
    axes: tuple[float, ...]  # degrees about x, y, z
    dof: tuple[str, ...]  # of ROTATIONS, in the order of a frame's values


Skeleton = Mapping[str, Bone]  # without the root; parents before their children
Frames = Mapping[str, Array]  # bone, or "root" -> [T, its values]


def read(skeleton: Path, motion: Path) -> tuple[Skeleton, Frames]:
    """A pair of files. Raises FormatError, which names file and line."""
    bones = parse_skeleton(Lines.of(skeleton, comment="#"))
    return bones, parse_motion(Lines.of(motion, comment="#"), bones)


def parse_skeleton(lines: Lines) -> Skeleton:
    """The bones of an ASF."""
    loose: dict[str, Bone] = {}
    parents: dict[str, str] = {}
    while lines.peek():
        words = lines.take()
        if words[0] == ":root":
            _check_root(lines)
        elif words[0] == ":bonedata":
            while lines.peek() == ["begin"]:
                name, bone = _bone(lines)
                loose[name] = bone
                if len(loose) > MAX_JOINTS:
                    lines.fail(f"more than {MAX_JOINTS:,} bones")
        elif words[0] == ":hierarchy":
            parents = _parents(lines, loose)
    if not loose or set(parents) != set(loose):
        lines.fail("there are no bones, or bones that the hierarchy does not hang anywhere")
    return {name: dataclasses.replace(loose[name], parent=parent) for name, parent in parents.items()}


def _check_root(lines: Lines) -> None:
    """The root as every skeleton of the CMU database has it; another would be read wrongly."""
    expected = {"order": ROOT_ORDER, "axis": ["XYZ"], "position": ["0"] * 3, "orientation": ["0"] * 3}
    while lines.peek() and not lines.peek()[0].startswith(":"):
        key, *words = lines.take()
        if words != expected.get(key):
            lines.fail(f"a root with {key} {' '.join(words)} is not read, only with {expected.get(key)}")


def _bone(lines: Lines) -> tuple[str, Bone]:
    """(name, bone) of a block between begin and end."""
    lines.take("begin")
    fields: dict[str, list[str]] = {}
    while (words := lines.take()) != ["end"]:
        fields[words[0]] = words[1:]
    if not {"name", "direction", "length", "axis"} <= set(fields) or fields["axis"][3:] != ["XYZ"]:
        lines.fail("a bone needs name, direction, length, and axis … XYZ")
    if not set(dof := tuple(fields.get("dof", ()))) <= set(ROTATIONS):
        lines.fail(f"degrees of freedom {' '.join(dof)} are not read, only {' '.join(ROTATIONS)}")
    (length,) = lines.numbers(fields["length"], 1)
    direction = lines.numbers(fields["direction"], 3)
    axes = tuple(lines.numbers(fields["axis"][:3], 3))
    return " ".join(fields["name"]), Bone("", tuple(length * d for d in direction), axes, dof)


def _parents(lines: Lines, bones: Mapping[str, Bone]) -> dict[str, str]:
    """Bone -> parent, parents first."""
    lines.take("begin")
    parents: dict[str, str] = {}
    while (words := lines.take()) != ["end"]:
        if words[0] != "root" and words[0] not in parents:
            lines.fail(f"{words[0]} has children before it has a parent")
        for child in words[1:]:
            if child not in bones or child in parents:
                lines.fail(f"{child} is no bone, or has two parents")
            parents[child] = words[0]
    return parents


def parse_motion(lines: Lines, skeleton: Skeleton) -> Frames:
    """The frames of an AMC, which must have every bone that moves in each."""
    modes = []
    while lines.peek() and lines.peek()[0].startswith(":"):
        modes += [word.upper() for word in lines.take()]
    if ":DEGREES" not in modes:
        lines.fail("angles are not said to be in :DEGREES")
    widths = {"root": len(ROOT_ORDER)} | {name: len(bone.dof) for name, bone in skeleton.items() if bone.dof}
    values: dict[str, list[list[float]]] = {name: [] for name in widths}
    count = 0
    while lines.peek():
        count += 1
        if lines.count(lines.take(), MAX_FRAMES) != count:
            lines.fail(f"this should be frame {count}")
        while lines.peek() and not lines.peek()[0].isdecimal():
            name, *words = lines.take()
            if name not in widths:
                lines.fail(f"{name} is no bone that moves")
            values[name].append(lines.numbers(words, widths[name]))
        if short := [name for name, rows in values.items() if len(rows) != count]:
            lines.fail(f"frame {count} has {short[0]} not exactly once")
    return {name: np.array(rows).reshape(count, widths[name]) for name, rows in values.items()}


def positions(skeleton: Skeleton, frames: Frames) -> dict[str, Array]:
    """Bone -> place [T, 3] of its end, and "root", in the units of the file."""
    root = frames["root"]
    places = {"root": root[:, :3]}
    turned = {"root": euler("ZYX", root[:, 5:2:-1])}
    for name, bone in skeleton.items():
        axes = euler("ZYX", np.array([bone.axes[::-1]]))[0]
        order = [i for rotation in reversed(ROTATIONS) for i, dof in enumerate(bone.dof) if dof == rotation]
        angles = frames[name][:, order] if bone.dof else np.zeros((len(root), 0))
        moved = euler([bone.dof[i][1].upper() for i in order], angles)
        turned[name] = turned[bone.parent] @ axes @ moved @ axes.T
        places[name] = places[bone.parent] + turned[name] @ np.array(bone.end)
    return places
