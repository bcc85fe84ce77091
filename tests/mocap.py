"""Motion capture files and the dancers in them, as text: of every skeleton that pipeline/datasets/dance reads."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.datasets.dance.body import rest_offsets
from pipeline.datasets.dance.carriers import Carrier
from pipeline.motion.skeleton import JOINTS, PARENTS

BPM = 165.0


def swaying(frames: int, fps: float, bpm: float = BPM) -> np.ndarray:
    """Sideways displacement [frames] of a dancer who stands still on each beat, the first at 0 s."""
    return 0.12 * np.cos(np.pi * np.arange(frames) / fps * bpm / 60)


def skeleton(carrier: Carrier) -> tuple[dict[str, str | None], dict[str, np.ndarray]]:
    """(joint of the carrier -> its parent, joint -> offset in the carrier's units) of a body in a T pose. Joints in the
    middle of others are left out, ends of bones too."""
    parents: dict[str, str | None] = {}
    places: dict[str, np.ndarray] = {}
    rest = np.zeros((len(JOINTS), 3))
    offsets = rest_offsets()
    for joint, name in enumerate(JOINTS):
        rest[joint] = offsets[joint] + (rest[PARENTS[joint]] if joint else (0, 0.95, 0))
        given = carrier.joints[name]
        if len(given) > 1 or given[0].endswith(" end"):
            continue
        parent: int = PARENTS[joint]
        while parent >= 0 and len(carrier.joints[JOINTS[parent]]) > 1:
            parent = PARENTS[parent]
        parents[given[0]] = carrier.joints[JOINTS[parent]][0] if parent >= 0 else None
        places[given[0]] = rest[joint] / carrier.metres
    return parents, {n: places[n] - (places[p] if (p := parents[n]) else 0) for n in parents}


def bvh(
    parents: Mapping[str, str | None],
    offsets: Mapping[str, np.ndarray],
    frames: Sequence[Sequence[float]],
    seconds: float,
) -> str:
    """A BVH whose root has places and rotations and whose other joints have rotations; frames tell the root's alone."""

    def block(name: str, depth: int) -> list[str]:
        pad = "\t" * depth
        children = [child for child, parent in parents.items() if parent == name]
        places = "Xposition Yposition Zposition " if depth == 0 else ""
        x, y, z = offsets[name]
        return [
            f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {name}",
            f"{pad}{{",
            f"{pad}\tOFFSET {x:.6f} {y:.6f} {z:.6f}",
            f"{pad}\tCHANNELS {6 if places else 3} {places}Zrotation Xrotation Yrotation",
            *[line for child in children for line in block(child, depth + 1)],
            *([] if children else [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET 0 -0.03 0.09", f"{pad}\t}}"]),
            f"{pad}}}",
        ]

    root = next(name for name, parent in parents.items() if parent is None)
    still = " ".join(["0"] * 3 * (len(parents) - 1))
    rows = [" ".join(f"{v:.6f}" for v in frame) + f" {still}" for frame in frames]
    head = ["HIERARCHY", *block(root, 0), "MOTION", f"Frames: {len(rows)}", f"Frame Time: {seconds:.6f}"]
    return "\n".join([*head, *rows]) + "\n"


def dancing(carrier: Carrier, seconds: float, said_fps: float, bpm: float = BPM) -> str:
    """A BVH of a dancer who sways, at the carrier's rate whatever the file says; a T pose first if it skips one."""
    parents, offsets = skeleton(carrier)
    count = round(seconds * carrier.fps) + carrier.skip
    x = swaying(count, carrier.fps, bpm) / carrier.metres
    frames = [(x[max(0, i - carrier.skip)], 0, 0, 0, 0, 3 * np.sin(i / 20)) for i in range(count)]
    return bvh(parents, offsets, frames, 1 / said_fps)
