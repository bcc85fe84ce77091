"""What is noted of a training, what is said of it, and what trackers get: everything once, whatever was interrupted."""

import importlib.util
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from pipeline import storage
from pipeline.patience import StorageError
from pipeline.settings import SettingsError
from pipeline.train import follow
from pipeline.train.follow import Follower
from pipeline.train.notes import Notes, Writer
from pipeline.train.trackers import Point, TensorBoard, maker


class Kept:
    """A tracker of one's own."""

    def __init__(self, output: str, settings: Any) -> None:
        self.output, self.settings, self.step = output, settings, 0
        self.points: list[Point] = []

    def log(self, points: Sequence[Point]) -> None:
        self.points += points
        self.step = points[-1].step

    def close(self) -> None:
        pass


def noted(output: str, first: int, losses: Sequence[float], total: int = 8) -> None:
    notes = Notes(first, total)
    for loss in losses:
        notes.add(torch.tensor([loss, 2 * loss]), 0.1)
    notes.fetch()
    Writer(output).put(notes, wait=True)


def reported(output: str, epoch: int, step: int) -> None:
    figures = {"epoch": epoch, "step": step, "loss": 1.5, "psnr": 20.0, "seconds": 1000.0 + epoch}
    storage.put(f"{output}/log/{epoch:05d}.json", json.dumps(figures).encode())


def test_notes_wait_on_the_device_until_they_are_fetched(tmp_path: Path) -> None:
    notes = Notes(40, 100)
    for loss in (1.0, 2.0):
        notes.add(torch.tensor([loss, 3.0]), 0.5)
    assert notes.values["loss"] == []
    assert notes.fetch() == [1.0, 2.0]
    assert notes.fetch() == []
    Writer(str(tmp_path)).put(notes, wait=True)
    stored = storage.read_json(f"{tmp_path}/log/steps/000000040.json")
    assert stored.pop("seconds_per_step") > 0
    assert stored == {"first": 40, "total": 100, "loss": [1.0, 2.0], "gradient": [3.0, 3.0], "lr": [0.5, 0.5]}


def test_notes_that_cannot_be_put_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no folder")
    with pytest.raises((StorageError, OSError)):
        noted(str(tmp_path), 0, [1.0])


def test_a_tracker_gets_each_step_once_however_often_it_is_interrupted(tmp_path: Path) -> None:
    output = str(tmp_path)
    kept = maker("tests.test_train_follow:Kept")(output, {"seed": 1})
    assert isinstance(kept, Kept)
    assert kept.settings == {"seed": 1}
    noted(output, 0, [4.0, 3.0])
    noted(output, 2, [2.0, 1.0])
    Follower(output, 2, [kept]).look()
    assert kept.points == []  # the epoch is not over
    reported(output, 1, 4)
    noted(output, 4, [9.0])
    follower = Follower(output, 2, [kept])  # the job was killed and started again
    follower.look()
    assert [p.step for p in kept.points] == [1, 2, 3, 4, 4]
    assert [p.values["step/loss"] for p in kept.points[:-1]] == [4.0, 3.0, 2.0, 1.0]
    assert kept.points[-1].values == {"epoch/epoch": 1, "epoch/loss": 1.5, "epoch/psnr": 20.0}
    noted(output, 4, [0.9, 0.8, 0.7, 0.6])  # what was lost is done again
    reported(output, 2, 8)
    follower.look()
    assert [p.values["step/loss"] for p in kept.points[5:-1]] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert kept.points[-1].step == 8


def test_lines_for_the_person_who_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = str(tmp_path)
    reported(output, 1, 4)
    monkeypatch.setattr(follow, "QUIET_SECONDS", 0.0)
    with follow.following(output, 3, []):
        noted(output, 4, [2.0, 4.0], total=12)
        reported(output, 2, 8)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "epoch 2/3 step=8 loss=1.5 psnr=20"
    assert said[1].startswith("step 6/12 loss=3 left=")
    assert len(said) == 2  # nothing of what was there before


def events(data: bytes) -> Iterator[Event]:
    """Of an event file: records of length, its checksum, bytes, their checksum."""
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


@pytest.mark.parametrize("place", ["local", pytest.param("s3", marks=pytest.mark.timeout(120))], indirect=True)
def test_tensorboard_reads_what_was_logged(place: str) -> None:
    board = TensorBoard(place, {})
    board.log([Point(1, 5.0, {"step/loss": 2.0}), Point(2, 6.0, {"step/loss": 1.0, "epoch/psnr": 20.0})])
    storage.put(f"{place}/tensorboard/profile/host.trace.json", b"{}")  # others write here too
    again = TensorBoard(place, {})
    assert again.step == 2
    storage.remove(f"{place}/tensorboard/profile/host.trace.json")
    again.log([Point(3, 7.0, {"step/loss": 0.5})])
    files = storage.list_objects(f"{place}/tensorboard")
    assert [f.uri.rsplit("/", 1)[1] for f in files] == [f"events.out.tfevents.{s:010d}" for s in (2, 3)]
    found = [
        (e.step, e.wall_time, v.tag, v.simple_value)
        for file in files
        for e in events(storage.read(file.uri))
        for v in e.summary.value
    ]
    assert found == [
        (1, 5.0, "step/loss", 2.0),
        (2, 6.0, "step/loss", 1.0),
        (2, 6.0, "epoch/psnr", 20.0),
        (3, 7.0, "step/loss", 0.5),
    ]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed here")
def test_trackers_that_are_not_there_are_named() -> None:
    with pytest.raises(SettingsError, match="log.to=wandb needs the package wandb: pip install wandb"):
        maker("wandb")
    with pytest.raises(SettingsError, match="log.to=tensorbord is not known; there are tensorboard, mlflow, wandb"):
        maker("tensorbord")
