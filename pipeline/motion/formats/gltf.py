"""GLB (binary glTF 2.0): a skeleton, a body of one spindle a bone that it moves, and the dance as an animation.

Metres, Y up, facing +Z, as glTF has it. Viewers, game engines and Blender open it; those that import skeletons find
22 joints by their names. Left limbs are vermilion and right ones blue, as in all pictures here.
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.motion.formats import Dance
from pipeline.motion.formats.rig import CHILDREN, Rig, Vectors, follow
from pipeline.motion.skeleton import BONES, FPS, JOINTS, PARENTS

FLOAT, SHORT, BYTE = 5126, 5123, 5121  # glTF's names of number types
TYPES = {"f": FLOAT, "H": SHORT, "B": BYTE}
WIDTHS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # what a part of the buffer is for
COLOURS = {"l": (0.66, 0.11, 0.0), "r": (0.0, 0.17, 0.45)}  # linear light
TRUNK = (0.03, 0.035, 0.045)
THICK, THICKEST = 0.03, 0.2  # metres; where along a bone
HEAD, HEAD_RADIUS = JOINTS.index("head"), 0.1  # metres
TIP = 0.5  # of a last bone's length: what is drawn beyond it
FACES = ((0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 1), (5, 2, 1), (5, 3, 2), (5, 4, 3), (5, 1, 4))


class _Buffer:
    """The arrays of a file and what they are."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], target: int | None = None) -> int:
        """Put an array [N] or [N, width] into the buffer; its accessor."""
        flat = np.ascontiguousarray(values).reshape(len(values), -1)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": flat.nbytes}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += flat.tobytes() + bytes(-flat.nbytes % 4)
        bounds = {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        kind = {"componentType": TYPES[flat.dtype.char], "type": WIDTHS[flat.shape[1]], "count": len(flat)}
        self.accessors.append({"bufferView": len(self.views) - 1, **kind, **bounds})
        return len(self.accessors) - 1


def encode(dance: Dance) -> bytes:
    """The file, about 11 kB a second."""
    rig, buffer = follow(dance.poses), _Buffer()
    body, joints = len(JOINTS), list(range(len(JOINTS)))
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0, body]}],
        "nodes": [*(_node(rig, joint) for joint in joints), {"name": "dancer", "mesh": 0, "skin": 0}],
        "meshes": [{"primitives": [_body(rig, buffer)]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}, "doubleSided": True}],
        "skins": [{"joints": joints, "skeleton": 0, "inverseBindMatrices": buffer.add(_inverse_binds(rig))}],
        "animations": [_animation(rig, buffer)],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    chunks = _chunk(b"JSON", text + b" " * (-len(text) % 4)) + _chunk(b"BIN\0", bytes(buffer.data))
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<I4s", len(data), kind) + data


def _node(rig: Rig, joint: int) -> dict[str, Any]:
    """A joint as it is at rest."""
    node: dict[str, Any] = {"name": JOINTS[joint], "translation": _rest(rig)[joint].tolist()}
    if PARENTS[joint] >= 0:
        node["translation"] = rig.offsets[joint].tolist()
    return {**node, "children": list(CHILDREN[joint])} if CHILDREN[joint] else node


def _rest(rig: Rig) -> Vectors:
    """Places [22, 3] of the joints at rest, the lowest on the floor."""
    places = np.zeros((len(JOINTS), 3))
    for parent, child in BONES:
        places[child] = places[parent] + rig.offsets[child]
    return places - (0, places[:, 1].min(), 0)


def _inverse_binds(rig: Rig) -> NDArray[np.float32]:
    """Matrices [22, 16], by columns, that take the body at rest to each of its joints."""
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(JOINTS), 1, 1))
    matrices[:, 3, :3] = -_rest(rig)
    return matrices.reshape(-1, 16)


def _body(rig: Rig, buffer: _Buffer) -> dict[str, Any]:
    """A spindle along each bone, which its upper joint moves, and one beyond each last joint, thick at the head."""
    rest = _rest(rig)
    last = [(joint, rig.offsets[joint] * TIP, joint) for joint in range(len(JOINTS)) if not CHILDREN[joint]]
    bones = [*((parent, rig.offsets[child], child) for parent, child in BONES), *last]
    shapes = [_spindle(rest[mover], along, is_head=mover == HEAD) for mover, along, _ in bones]
    colours = np.array([COLOURS.get(JOINTS[named].partition("_")[0], TRUNK) for *_, named in bones], np.float32)
    movers = np.array([(mover, 0, 0, 0) for mover, *_ in bones], np.uint8)
    faces = np.concatenate([np.array(FACES) + 6 * bone for bone in range(len(bones))]).astype(np.uint16)
    attributes: dict[str, NDArray[Any]] = {
        "POSITION": np.concatenate(shapes).astype(np.float32),
        "COLOR_0": colours.repeat(6, 0),
        "JOINTS_0": movers.repeat(6, 0),
        "WEIGHTS_0": np.tile(np.array([1, 0, 0, 0], np.float32), (6 * len(bones), 1)),
    }
    put = {name: buffer.add(values, VERTICES) for name, values in attributes.items()}
    return {"attributes": put, "indices": buffer.add(faces.reshape(-1), INDICES), "material": 0}


def _spindle(start: Vectors, along: Vectors, is_head: bool) -> Vectors:
    """Corners [6, 3] of an octahedron from a point along a vector."""
    direction = along / np.linalg.norm(along)
    side = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
    side /= np.linalg.norm(side)
    if is_head:
        along, middle, thick = direction * 2 * HEAD_RADIUS, start + direction * HEAD_RADIUS, HEAD_RADIUS
    else:
        middle, thick = start + THICKEST * along, THICK
    side, other = thick * side, thick * np.cross(direction, side)
    return np.stack([start, middle + side, middle + other, middle - side, middle - other, start + along])


def _animation(rig: Rig, buffer: _Buffer) -> dict[str, Any]:
    """The way of the root and the turns of all joints."""
    times = buffer.add((np.arange(len(rig.root)) / FPS).astype(np.float32))
    values: list[NDArray[np.float32]] = [
        rig.root.astype(np.float32),
        *(_continuous(turn.as_quat()) for turn in rig.turns),
    ]
    targets = [(0, "translation"), *((joint, "rotation") for joint in range(len(JOINTS)))]
    samplers = [{"input": times, "output": buffer.add(v), "interpolation": "LINEAR"} for v in values]
    aims = [{"sampler": i, "target": {"node": node, "path": path}} for i, (node, path) in enumerate(targets)]
    return {"name": "dance", "samplers": samplers, "channels": aims}


def _continuous(quaternions: NDArray[np.float64]) -> NDArray[np.float32]:
    """The same turns [T, 4] (x, y, z, w), of each pair of equal quaternions the one nearer to the one before."""
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, -1.0, 1.0)
    return (quaternions * np.concatenate([[1.0], flips.cumprod()])[:, None]).astype(np.float32)
