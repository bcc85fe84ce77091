"""Files of dances, read back by other libraries than those that wrote them."""

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pybvh
import pygltflib
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from pipeline import sound
from pipeline.motion.formats import Dance, bvh, gif, gltf, npz, rig, video
from pipeline.motion.skeleton import FPS, JOINTS, PARENTS, Poses
from tests.dancer import along, moved, real, standing

DANCES = real()
MILLIMETRE = 0.001


def errors(found: np.ndarray, poses: Poses) -> np.ndarray:
    """Distances [T, 22] in metres between joints."""
    return np.linalg.norm(found - poses, axis=-1)


def rigid(frames: int = 40) -> Poses:
    """A dance of bones that neither stretch nor shift: a rig that turns at random, out of known angles."""
    rng, still = np.random.default_rng(0), rig.follow(standing(frames))
    angles = np.cumsum(rng.normal(0, 0.12, (len(JOINTS), frames, 3)), 1)
    root = still.root + np.cumsum(rng.normal(0, 0.02, (frames, 3)), 0)
    turns = tuple(Rotation.from_rotvec(a) * t for a, t in zip(angles, still.turns, strict=True))
    return rig.Rig(still.offsets, root, turns).positions().astype(np.float32)


def test_a_rigid_dancer_is_followed_exactly() -> None:
    dance = rigid()
    assert errors(rig.follow(dance).positions(), dance).max() < 0.1 * MILLIMETRE


def test_a_limb_that_turns_right_round_is_followed() -> None:
    over = moved(standing(), "r_wrist", by=np.where(np.arange(60)[:, None] < 30, 0, (0.04, 0.48, -0.1)))
    found = rig.follow(over).positions()
    assert np.isfinite(found).all()
    assert errors(found, over).max() < 2 * MILLIMETRE


@pytest.mark.parametrize("genre", DANCES)
def test_bvh_is_read_back_within_a_centimetre(genre: str, tmp_path: Path) -> None:
    path = tmp_path / "dance.bvh"
    path.write_bytes(bvh.encode(Dance(DANCES[genre])))
    read = pybvh.read_bvh_file(str(path))
    found = read.joint_positions()[:, [read.joint_names.index(name) for name in JOINTS]] / 100
    assert found.shape == DANCES[genre].shape
    assert errors(found, DANCES[genre]).mean() < 5 * MILLIMETRE
    assert errors(found, rig.follow(DANCES[genre]).positions()).max() < 0.1 * MILLIMETRE
    assert read.frame_time == pytest.approx(1 / FPS)


def test_angles_of_a_bvh_do_not_jump(tmp_path: Path) -> None:
    path = tmp_path / "dance.bvh"
    spin = np.linspace(0, 4 * np.pi, 120)
    turns = Rotation.from_rotvec(along(1, spin)).as_matrix()
    path.write_bytes(bvh.encode(Dance(np.einsum("tij,tkj->tki", turns, standing(120)).astype(np.float32))))
    numbers = np.loadtxt(path.read_text().split("Frame Time")[1].splitlines()[1:])
    assert np.abs(np.diff(numbers[:, 3:6], axis=0)).max() < 10  # degrees a frame


def placed(gltf_file: pygltflib.GLTF2, frame: int) -> np.ndarray:
    """Places [22, 3] of the joints in a frame, as a viewer computes them from nodes and animation."""
    nodes, animation = gltf_file.nodes, gltf_file.animations[0]
    local = {i: [np.array(n.translation or (0, 0, 0)), Rotation.identity()] for i, n in enumerate(nodes)}
    for channel in animation.channels:
        value = numbers(gltf_file, animation.samplers[channel.sampler].output)[frame]
        is_turn = channel.target.path == "rotation"
        local[channel.target.node][is_turn] = Rotation.from_quat(value) if is_turn else value
    parents = {child: i for i, node in enumerate(nodes) for child in node.children or ()}
    place, facing = {}, {}
    for joint in range(len(JOINTS)):
        offset, turn = local[joint]
        up = parents.get(joint)
        place[joint] = offset if up is None else place[up] + facing[up].apply(offset)
        facing[joint] = turn if up is None else facing[up] * turn
    return np.stack([place[j] for j in range(len(JOINTS))])


def numbers(gltf_file: pygltflib.GLTF2, accessor: int) -> np.ndarray:
    """The array of an accessor of floats."""
    of = gltf_file.accessors[accessor]
    view = gltf_file.bufferViews[of.bufferView]
    data = gltf_file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, np.float32).reshape(of.count, -1)


def test_glb_moves_the_skeleton_as_the_dance_does(tmp_path: Path) -> None:
    dance, path = DANCES["salsa"], tmp_path / "dance.glb"
    path.write_bytes(gltf.encode(Dance(dance)))
    read = pygltflib.GLTF2().load(str(path))
    assert [n.name for n in read.nodes[:22]] == list(JOINTS)
    assert {c: i for i, n in enumerate(read.nodes) for c in n.children or ()} == dict(enumerate(PARENTS[1:], 1))
    assert numbers(read, read.animations[0].samplers[0].input)[-1, 0] == pytest.approx((len(dance) - 1) / FPS)
    for frame in (0, 17, 59):
        assert errors(placed(read, frame), dance[frame]).mean() < 5 * MILLIMETRE


def test_glb_has_a_body_on_the_floor_at_rest_and_short_ways_between_turns() -> None:
    data = gltf.encode(Dance(DANCES["pop"]))
    scene: Any = trimesh.load(io.BytesIO(data), file_type="glb")
    low, high = scene.bounds
    assert low[1] == pytest.approx(0, abs=0.1)
    assert 1.4 < high[1] < 2
    read = pygltflib.GLTF2.load_from_bytes(data)
    for sampler in read.animations[0].samplers[1:]:
        turns = numbers(read, sampler.output)
        assert ((turns[1:] * turns[:-1]).sum(-1) > 0).all()


def test_npz_holds_the_poses_and_what_they_are() -> None:
    dance = DANCES["modern"]
    with np.load(io.BytesIO(npz.encode(Dance(dance, np.array([0.5, 1.0]))))) as file:
        assert (file["poses"] == dance).all()
        assert tuple(file["joints"]) == JOINTS
        assert tuple(file["parents"]) == PARENTS
        assert (file["fps"], list(file["beats"])) == (FPS, [0.5, 1.0])
    with np.load(io.BytesIO(npz.encode(Dance(dance)))) as file:
        assert "beats" not in file


def test_gif_opens() -> None:
    with Image.open(io.BytesIO(gif.encode(Dance(DANCES["pop"])))) as picture:
        assert (picture.format, picture.size) == ("GIF", (gif.SIZE, gif.SIZE))


@pytest.mark.parametrize("heard", [5.0, 0.2, 0.0])
def test_mp4_has_the_whole_dance_and_its_music(tmp_path: Path, heard: float) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(round(heard * sound.RATE)) / sound.RATE).astype(np.float32)
    path = tmp_path / "dance.mp4"
    path.write_bytes(
        video.encode(Dance(moved(standing(45), "head", by=along(0, np.zeros(45))), None, tone if heard else None))
    )
    said = subprocess.run([ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True).stderr
    assert "Video: h264" in said
    assert "yuv420p" in said
    assert ("Audio: aac" in said) == bool(heard)
    minutes, seconds = re.search(r"Duration: 00:(\d\d):([\d.]+)", said).groups()  # type: ignore[union-attr]
    assert float(seconds) == pytest.approx(1.5, abs=0.1)
    assert minutes == "00"


def test_a_dance_of_one_frame_can_be_taken_along() -> None:
    for form in (npz, bvh, gltf, gif):
        assert form.encode(Dance(standing(1)))
