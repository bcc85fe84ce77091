"""BVH (Biovision Hierarchy): the skeleton, then one line of angles a frame. Centimetres, as animation tools expect,
and degrees; Y up. Written without a library; tests read it back by another one."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from pipeline.motion.formats import Dance
from pipeline.motion.formats.rig import CHILDREN, Rig, Vectors, follow
from pipeline.motion.skeleton import FPS, JOINTS, PARENTS

ORDER: Final = "ZXY"
CENTIMETRES = 100
TIP = 0.5  # of a last bone's length: what is drawn beyond it


def encode(dance: Dance) -> bytes:
    """The file, about 20 kB a second."""
    rig = follow(dance.poses)
    joints = list(_depth_first(0))
    angles = [
        np.unwrap(rig.turns[j].as_euler(ORDER, degrees=True, suppress_warnings=True), period=360, axis=0)
        for j in joints
    ]
    values = np.concatenate([rig.root * CENTIMETRES, *angles], 1)
    rows = [" ".join(f"{value:.4f}" for value in row) for row in values]
    head = ["HIERARCHY", *_hierarchy(rig, 0, ""), "MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / FPS:.8f}"]
    return "\n".join([*head, *rows, ""]).encode()


def _depth_first(joint: int) -> Iterator[int]:
    yield joint
    for child in CHILDREN[joint]:
        yield from _depth_first(child)


def _hierarchy(rig: Rig, joint: int, indent: str) -> Iterator[str]:
    """Lines of a joint and all below it."""
    is_root = PARENTS[joint] < 0
    turning = " ".join(f"{axis}rotation" for axis in ORDER)
    channels = f"6 Xposition Yposition Zposition {turning}" if is_root else f"3 {turning}"
    yield f"{indent}{'ROOT' if is_root else 'JOINT'} {JOINTS[joint]}"
    yield f"{indent}{{"
    yield f"{indent}\tOFFSET {_numbers(rig.offsets[joint])}"
    yield f"{indent}\tCHANNELS {channels}"
    for child in CHILDREN[joint]:
        yield from _hierarchy(rig, child, indent + "\t")
    if not CHILDREN[joint]:
        yield from (f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {_numbers(rig.offsets[joint] * TIP)}")
        yield f"{indent}\t}}"
    yield f"{indent}}}"


def _numbers(offset: Vectors) -> str:
    return " ".join(f"{value:.4f}" for value in offset * CENTIMETRES)
