"""pipeline/datasets/dance: recordings.py, aistpp.py, finedance.py, motorica.py, unpickle.py, samples.py."""

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from scipy.spatial.transform import Rotation

from pipeline import sound, storage
from pipeline.datasets.dance import aistpp, finedance, motorica, recordings, samples, unpickle
from pipeline.datasets.dance.carriers import MOTORICA
from pipeline.datasets.dance.reading import FormatError
from pipeline.datasets.prepare import prepare
from pipeline.kinds import decode_motion
from pipeline.motion.skeleton import bone_lengths
from pipeline.settings import SettingsError
from tests import mocap
from tests.test_dance_cmu import settings

BREAK = "gBR_sBM_cAll_d04_mBR0_ch01"
STREET = "kthstreet_gLH_sFM_cAll_d02_mLH_ch01_lala_001"


def music(path: Path, seconds: float, bpm: float = 120) -> None:
    """Noise bursts on each beat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 22_050)) / 22_050
    burst = np.exp(-30 * (time % (60 / bpm))) * np.random.default_rng(0).normal(size=len(time))
    sf.write(path, (0.2 * burst).astype(np.float32), 22_050)


def turns(frames: int, joints: int) -> np.ndarray:
    """Rotation vectors [frames, joints, 3]: the dancer turns and one knee bends."""
    vectors = np.zeros((frames, joints, 3))
    vectors[:, 0, 1] = np.linspace(0, 2, frames)
    vectors[:, 4, 0] = 0.5 * np.sin(np.arange(frames) / 10) + 0.5
    return vectors


def aist(folder: Path) -> None:
    held = {
        "smpl_loss": 0.1,
        "smpl_poses": turns(480, 24).reshape(480, 72),
        "smpl_scaling": np.array([90.0]),
        "smpl_trans": np.linspace([0, 90, 0], [90, 90, 0], 480),
    }
    (folder / "motions").mkdir(parents=True)
    (folder / "splits").mkdir()
    (folder / "motions" / f"{BREAK}.pkl").write_bytes(pickle.dumps(held))
    (folder / "motions" / f"{BREAK[:-1]}2.pkl").write_bytes(b"on the list of faulty ones")
    (folder / "ignore_list.txt").write_text(f"{BREAK[:-1]}2\n")
    (folder / "splits" / "crossmodal_test.txt").write_text(f"{BREAK}\n{BREAK[:-1]}2\n")
    music(folder / "wav" / "mBR0.wav", 8)


def fine(folder: Path) -> None:
    matrices = Rotation.from_rotvec(turns(240, 52).reshape(-1, 3)).as_matrix()
    six = matrices[:, :2].reshape(240, 312)
    root = np.linspace([0, 1, 0], [1, 1, 0], 240)
    (folder / "motion").mkdir(parents=True)
    (folder / "label_json").mkdir()
    np.save(folder / "motion" / "001.npy", np.concatenate([root, six], 1).astype(np.float32))
    np.save(folder / "motion" / "116.npy", np.zeros(3))  # left out by its authors
    (folder / "label_json" / "001.json").write_text(json.dumps({"name": "x", "style1": "Folk", "style2": "Dunhuang"}))
    music(folder / "music_wav" / "001.wav", 8)
    music(folder / "music_wav" / "116.wav", 1)


def street(folder: Path) -> None:
    (folder / "bvh").mkdir(parents=True)
    (folder / "bvh" / f"{STREET}.bvh").write_text(mocap.dancing(MOTORICA, 8, said_fps=120, bpm=120))
    (folder / "bvh" / "kthmisc_gCA_sFM_cAll_d01_mCA_ch24.bvh").write_text("its music was not published")
    music(folder / "wav" / f"{STREET}.wav", 8)


MADE = {
    "aistpp": (aist, "break dance", BREAK, "mBR0", "test"),
    "finedance": (fine, "dunhuang", "finedance_001", "001", "train"),
    "motorica": (street, "hip-hop", STREET, "lala", None),
}


@pytest.mark.parametrize("source", MADE)
def test_a_folder_in_the_published_format_becomes_rows(source: str, tmp_path: Path) -> None:
    make, genre, trial, song, split = MADE[source]
    make(tmp_path / "folder")
    out = tmp_path / "dance.parquet"
    prepare(settings(source, tmp_path / "folder", out, "source.options.seconds=4", "source.options.hop=4"))
    rows = pq.read_table(out).to_pylist()
    assert [row["id"] for row in rows] == [f"{trial}_000", f"{trial}_001"]
    for row in rows:
        assert (row["genre"], row["tune"], row["n_frames"]) == (genre, song, 120)
        assert row["split"] == split or split is None
        assert row["text"] == f"a person dances {genre}"
        assert row["bpm"] == pytest.approx(120, rel=0.02)
        assert len(sound.decode(row["audio"]["bytes"], sound.Bounds())) == 4 * sound.RATE
        poses = decode_motion(row["motion"])
        assert poses is not None
        assert np.ptp(bone_lengths(poses), axis=0).max() < 1e-4
        assert np.percentile(poses[..., 1].min(1), 5) == pytest.approx(0, abs=0.05)


def test_rotations_turn_the_dancer_as_they_say(tmp_path: Path) -> None:
    aist(tmp_path / "a")
    fine(tmp_path / "f")
    for poses in (aistpp.read(tmp_path / "a/motions" / f"{BREAK}.pkl"), finedance.read(tmp_path / "f/motion/001.npy")):
        across = poses[:, 1] - poses[:, 2]  # right hip to left
        turned = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
        assert turned[-1] - turned[0] == pytest.approx(2, abs=0.02)
        assert poses[-1, 0, 0] == pytest.approx(1.05, abs=0.02)  # a metre of SMPL's, by the legs
        thigh, shin = poses[:, 4] - poses[:, 1], poses[:, 7] - poses[:, 4]
        bend = np.arccos((thigh * shin).sum(-1) / np.linalg.norm(thigh, axis=-1) / np.linalg.norm(shin, axis=-1))
        assert np.ptp(bend) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smpl_poses": np.zeros((5, 72))}, "has 5 poses and 480 places"),
        ({"smpl_trans": np.full((480, 3), np.nan)}, "not finite"),
        ({"smpl_scaling": []}, "has no smpl_poses, smpl_trans and smpl_scaling"),
    ],
)
def test_broken_poses_are_answered_with_their_file(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    aist(tmp_path)
    path = tmp_path / "motions" / f"{BREAK}.pkl"
    path.write_bytes(pickle.dumps(unpickle.read(path) | change))
    with pytest.raises(FormatError, match=message):
        aistpp.read(path)


def test_broken_files_and_empty_folders_are_answered_plainly(tmp_path: Path) -> None:
    for source, what in ((aistpp, "motions/g"), (finedance, "motion/"), (motorica, "bvh/")):
        with pytest.raises(SettingsError, match=f"has no {what}.*see docs/dance.md"):
            source.find(tmp_path)
    np.save(tmp_path / "short.npy", np.zeros((4, 314)))
    with pytest.raises(FormatError, match=r"has the shape \(4, 314\), not \[T, 315\], nor \[T, 319\]"):
        finedance.read(tmp_path / "short.npy")
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(FormatError, match="is no array of numbers"):
        finedance.read(tmp_path / "object.npy")
    fine(tmp_path / "f")
    (tmp_path / "f/music_wav/001.wav").write_bytes(b"no music")
    with pytest.raises(FormatError, match=r"001.wav is not readable audio"):
        prepare(settings("finedance", tmp_path / "f", tmp_path / "x"))


def test_a_song_has_one_split_and_a_tenth_of_them_are_held_out_for_each_use(tmp_path: Path) -> None:
    splits = [recordings.split_of(f"song {n}") for n in range(2000)]
    assert splits == [recordings.split_of(f"song {n}") for n in range(2000)]
    assert splits.count("test") == pytest.approx(200, abs=45)
    assert splits.count("val") == pytest.approx(200, abs=45)
    for name in ("b.mp3", "a.mp3", "a.wav"):
        (tmp_path / name).touch()
    assert recordings.audio(tmp_path, "c", "a", "b") == tmp_path / "a.wav"
    assert recordings.audio(tmp_path, "c") is None


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_pickles_are_read_and_nothing_else(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    held = {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "s": np.float64(2.5), "l": [1, "x", (True, None)], "e": np.zeros((0, 3))}  # fmt: skip
    path.write_bytes(pickle.dumps(held, protocol))
    found = unpickle.read(path)
    for name in ("a", "f", "e"):
        np.testing.assert_array_equal(found[name], held[name])
        assert found[name].dtype == held[name].dtype  # type: ignore[attr-defined]
    assert (found["s"], found["l"]) == (held["s"], held["l"])
    for evil in (Evil(), {"a": [Evil()]}, np.array([{}], object), np.array([("x",)], [("n", "O")])):
        path.write_bytes(pickle.dumps(evil, protocol))
        with pytest.raises(FormatError, match="is no pickle of plain arrays"):
            unpickle.read(path)


def test_forged_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    data = pickle.dumps(np.arange(4.0), 2)
    for forged in (data.replace(b"K\x04\x85", b"K\x09\x85"), data[:-20], b"", b"no pickle", data.replace(b"f8", b"O8")):
        path.write_bytes(forged)
        with pytest.raises(FormatError, match="is no pickle of plain arrays"):
            unpickle.read(path)


def test_the_embedded_sample_is_small_and_complete() -> None:
    data = storage.read("starter:samples/dance.parquet")
    table = pq.read_table(io.BytesIO(data))
    rows = table.to_pylist()
    assert len(data) < 600_000
    assert [(row["tune"] is not None, row["text"] or None) for row in rows] == [
        (bool(style), text or None) for style, _, text in samples.PIECES
    ]
    assert b"public domain" in table.schema.metadata[b"licence"]
    for row in rows:
        if row["audio"]:
            wave = sound.decode(row["audio"]["bytes"], sound.Bounds())
            assert 9 < len(wave) / sound.RATE < 11
            assert np.diff(row["beats"]) == pytest.approx(60 / row["bpm"], abs=1e-3)
            assert wave.std() > 0.02


def test_the_sample_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PIECES", (("pop", 120, "a person dances"), ("", 0, "words alone")))
    prepare(settings("dance_sample", "", tmp_path / "a", "source.options.seconds=1"))
    first, second = pq.read_table(tmp_path / "a").to_pylist()
    assert first["beats"] == [0.0, 0.5]
    assert len(sound.decode(first["audio"]["bytes"], sound.Bounds())) == sound.RATE
    assert (second["text"], second["audio"], second["beats"]) == ("words alone", None, None)
