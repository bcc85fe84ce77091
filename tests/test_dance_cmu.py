"""pipeline/datasets/dance: cmu.py, table.py, captions.py; and the source as a whole, from tiny raw files."""

import dataclasses
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from jobs.cli import compose_config
from pipeline import sound
from pipeline.build import build
from pipeline.datasets.dance import captions, cmu
from pipeline.datasets.dance.carriers import DAZ, ICLONE
from pipeline.datasets.dance.reading import FormatError
from pipeline.datasets.dance.table import Cutting
from pipeline.datasets.prepare import prepare
from pipeline.kinds import decode_motion
from pipeline.settings import Prepare, SettingsError
from tests import dancer, mocap

INDEX = """"Subject","Trial #","Motion Description","framerate","Frames 60fps","Status","Worked on by"
5,2,"dance - expressive arms, pirouette",120,562,"Centered","x"
60,1,"salsa dance",60,,,
61,1,"salsa dance",60,,,
"""


def settings(source: str, folder: Path | str, output: Path, *more: str) -> Prepare:
    given = [f"source={source}", f"input.path={folder}", f"output={output}", *more]
    return build(Prepare, OmegaConf.to_container(compose_config("prepare", given), resolve=True))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    (folder / "index.csv").write_text(INDEX)
    for kind in ("bvh_daz", "bvh_iclone"):
        (folder / kind).mkdir()
    for name, seconds in (("60_01", 5.4), ("61_01", 5.2), ("60_04", 4.2)):  # one pair, and a trial of the test split
        (folder / "bvh_daz" / f"{name}_scaled.bvh").write_text(mocap.dancing(DAZ, seconds, said_fps=120))
    (folder / "bvh_iclone" / "005_02.bvh").write_text(mocap.dancing(ICLONE, 4.2, said_fps=60, bpm=84))
    (folder / "bvh_iclone" / "005_01.bvh").write_text("a walk, which is not read")
    return folder


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "dance.parquet"
    prepare(settings("cmu_dance", raw, out, "source.options.seconds=4", "source.options.hop=1"))
    return out


def test_raw_files_become_rows_of_music_text_and_motion(made: Path) -> None:
    rows = {row["id"]: row for row in pq.read_table(made).to_pylist()}
    assert list(rows) == [
        "cmu_005_02_000", "cmu_060_01_000", "cmu_060_01_001", "cmu_060_04_000", "cmu_061_01_000", "cmu_061_01_001",
    ]  # fmt: skip
    lead, follow, modern = rows["cmu_060_01_000"], rows["cmu_061_01_000"], rows["cmu_005_02_000"]
    assert lead["text"] == lead["texts"][0] == "a person dances salsa, leading a partner"
    assert follow["text"] == "a person dances salsa, following a partner"
    assert modern["texts"][-1] == "modern dance: expressive arms, pirouette"
    assert lead["bpm"] == pytest.approx(mocap.BPM, rel=0.02)  # 60 frames a second, whatever the file says
    assert lead["audio"]["bytes"] == follow["audio"]["bytes"]  # partners share their song, and its rendering
    assert rows["cmu_060_01_001"]["tune"] != lead["tune"]  # the next clip has the other
    for row in rows.values():
        assert (row["n_frames"], row["n_joints"], row["fps"]) == (120, 22, 30)
        poses = decode_motion(row["motion"])
        assert poses is not None
        assert poses.shape == (120, 22, 3)
        assert poses[0, 0, [0, 2]].tolist() == [0, 0]
        assert len(sound.decode(row["audio"]["bytes"], sound.Bounds())) == 4 * sound.RATE


def test_stored_beats_are_where_the_dancer_is_still(made: Path) -> None:
    for row in pq.read_table(made).to_pylist():
        phase = (np.array(row["beats"]) + row["start"]) * (mocap.BPM if row["genre"] == "salsa" else 84) / 60
        assert np.abs(phase - phase.round())[1:-1].max() < 0.15, row["id"]


def test_no_song_and_no_take_crosses_a_split(made: Path) -> None:
    table = pq.read_table(made).to_pandas()
    assert (table.groupby("tune").split.nunique() == 1).all()
    assert (table.groupby(table.trial.str[-2:] + table.genre).split.nunique() == 1).all()
    assert dict(zip(table.trial, table.split, strict=True))["60_04"] == "test"


def test_a_dance_has_the_same_bytes_again_whatever_others_there_are(made: Path, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "bvh_daz").mkdir()
    for name in ("index.csv", "bvh_daz/60_04_scaled.bvh"):
        (tmp_path / name).write_bytes((raw / name).read_bytes())
    prepare(settings("cmu_dance", tmp_path, tmp_path / "again", "source.options.seconds=4", "source.options.hop=1"))
    rows = pq.read_table(made)
    assert pq.read_table(tmp_path / "again").equals(rows.filter(pc.equal(rows["trial"], "60_04")), check_metadata=True)


def test_the_table_says_whose_it_is_and_opens_elsewhere(made: Path, tmp_path: Path) -> None:
    said = {k.decode(): json.loads(v) for k, v in pq.read_schema(made).metadata.items() if k != b"ARROW:schema"}
    assert "NSF EIA-0196217" in said["licence"][0]
    assert "may not be resold" in said["licence"][0]
    assert len(said["joints"]) == len(said["parents"]) == 22
    found = datasets.load_dataset("parquet", data_files=str(made), cache_dir=str(tmp_path))["train"]
    assert isinstance(found.features["audio"], datasets.Audio)


def test_wrong_folders_and_files_are_answered_plainly(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot read .*index.csv"):
        cmu.files(tmp_path)
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match=r"index.csv, line 2: needs Subject, Trial # and Motion Description"):
        cmu.files(tmp_path)
    (tmp_path / "index.csv").write_text(INDEX)
    with pytest.raises(SettingsError, match=r"has none of CMU's dances .* docs/dance.md"):
        cmu.files(tmp_path)
    salsa = next(file for file in cmu.files(raw) if file.subject == 60)
    with pytest.raises(FormatError, match="has no joint 'CC_Base_"):
        cmu.read(dataclasses.replace(salsa, carrier=ICLONE))
    with pytest.raises(SettingsError, match="unknown key source.options.loud; known here: seconds, hop"):
        prepare(settings("cmu_dance", raw, tmp_path / "x", "+source.options.loud=1"))


def test_clips_are_whole_or_the_one_that_there_is() -> None:
    cutting = Cutting(seconds=5, hop=2.5)
    assert list(cutting.frames(400)) == [(0, 150), (75, 225), (150, 300), (225, 375)]
    assert list(cutting.frames(120)) == [(0, 120)]
    assert list(cutting.frames(89)) == []


def test_captions_say_what_is_seen() -> None:
    still = dancer.standing(90)
    assert captions.captions(still, "salsa", "", None) == ["a person dances salsa", "slow salsa"]
    up = dancer.moved(still, "l_wrist", by=np.array([[0, 1.2, 0]]).repeat(90, 0))
    there = up + 2 * np.linspace(0, 1, 90)[:, None, None] * np.array([1, 0, 0])
    high = there + 0.4 * np.sin(np.arange(90) / 5).clip(0)[:, None, None] * np.array([0, 1, 0])
    assert captions.attributes(high) == ["travelling", "jumping", "with raised arms"]
    angle = np.linspace(0, 6, 90)
    spun = still.copy()
    spun[..., 0] = still[..., 0] * np.cos(angle)[:, None] + still[..., 2] * np.sin(angle)[:, None]
    spun[..., 2] = still[..., 2] * np.cos(angle)[:, None] - still[..., 0] * np.sin(angle)[:, None]
    assert captions.attributes(spun) == ["turning"]
    said = captions.captions(high, "salsa", "lead", 164, "with a friend")
    assert said[-2:] == [f"{captions.energy(high)} salsa at 165 beats per minute", "salsa: with a friend"]
