"""DDP and FSDP2 on two workers train as one worker with all the rows does; so do batches that are accumulated; a
checkpoint of one way goes on in another."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipeline.train import parallel
from pipeline.train.state import State
from tests import two_workers

FILES = ("network", "average", "optimiser")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Path]:
    """Losses and the last checkpoint of one worker that sees all rows of a step at once."""
    folder = tmp_path_factory.mktemp("alone")
    return two_workers.train(0, 1, "ddp", 1, folder, two_workers.Line()), folder


@pytest.fixture(scope="module")
def duel(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Path]:
    """As `alone`, of a stage whose network learns in parts."""
    folder = tmp_path_factory.mktemp("duel")
    return two_workers.train(0, 1, "ddp", 1, folder, two_workers.Duel()), folder


@pytest.fixture(scope="module")
def together(
    alone: tuple[list[float], Path], duel: tuple[list[float], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What two workers made of it, in every way: one start of two processes takes most of the time."""
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(alone[1] / "half", folder / "half")
    shutil.copytree(duel[1] / "half", folder / "duel-half")
    command = [sys.executable, "-m", "tests.two_workers"]
    started = [subprocess.Popen([*command, str(r), "2", str(folder)], stderr=subprocess.PIPE) for r in range(2)]
    for process in started:
        _, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors.decode()
    return folder


def losses(folder: Path) -> list[float]:
    return json.loads((folder / "losses.json").read_text())


def same(a: Path, b: Path) -> None:
    """Two checkpoints hold the same, as far as sums in another order can."""
    for name in FILES:
        left, right = (load_file(folder / f"{name}.safetensors") for folder in (a, b))
        assert set(left) == set(right)
        for key, value in left.items():
            torch.testing.assert_close(right[key], value, atol=2e-6, rtol=2e-4)


def test_accumulated_batches_are_one_batch(alone: tuple[list[float], Path], tmp_path: Path) -> None:
    found = two_workers.train(0, 1, "ddp", 4, tmp_path, two_workers.Line())
    assert found == pytest.approx(alone[0], abs=1e-5)
    assert found[-1] != pytest.approx(found[0], rel=0.05)  # something was trained
    same(alone[1], tmp_path)


def test_a_compiled_network_trains_alike(alone: tuple[list[float], Path], tmp_path: Path) -> None:
    stage = two_workers.Line()
    stage.network.compile()
    assert two_workers.train(0, 1, "ddp", 1, tmp_path, stage) == pytest.approx(alone[0], abs=1e-5)
    same(alone[1], tmp_path)  # under the same names


@pytest.mark.parametrize(("how", "accumulate"), two_workers.WAYS)
def test_two_workers_train_as_one(how: str, accumulate: int, alone: tuple[list[float], Path], together: Path) -> None:
    folder = together / f"{how}{accumulate}"
    assert losses(folder) == pytest.approx(alone[0], abs=1e-5)
    same(alone[1], folder)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_workers_compare_all_their_rows(how: str, together: Path, tmp_path: Path) -> None:
    alone = two_workers.train(0, 1, "ddp", 1, tmp_path, two_workers.Pairs())
    assert losses(together / f"{how}-pairs") == pytest.approx(alone, abs=1e-5)
    same(tmp_path, together / f"{how}-pairs")


def test_a_checkpoint_of_one_way_goes_on_in_another(alone: tuple[list[float], Path], together: Path) -> None:
    behind = pytest.approx(alone[0][two_workers.STEPS // 2 :], abs=1e-5)
    half = together / "fsdp1" / "half"
    same(alone[1] / "half", half)
    assert two_workers.train(0, 1, "ddp", 1, half, two_workers.Line()) == behind
    same(alone[1], half)
    assert losses(together / "half") == behind
    same(alone[1], together / "half")


@pytest.mark.parametrize(("how", "accumulate"), two_workers.WAYS)
def test_two_workers_take_turns_as_one(
    how: str, accumulate: int, duel: tuple[list[float], Path], together: Path
) -> None:
    folder = together / f"duel-{how}{accumulate}"
    assert losses(folder) == pytest.approx(duel[0], abs=1e-5)
    same(duel[1], folder)


def test_turns_go_on_in_another_way(duel: tuple[list[float], Path], together: Path) -> None:
    assert losses(together / "duel-half") == pytest.approx(duel[0][two_workers.STEPS // 2 :], abs=1e-5)
    same(duel[1], together / "duel-half")


def test_blocks_are_the_members_of_the_outermost_lists() -> None:
    inner = nn.ModuleList([nn.Linear(1, 1)])
    network = nn.ModuleDict({"a": nn.ModuleList([nn.Sequential(inner), nn.ReLU()]), "b": nn.Linear(1, 1)})
    assert list(parallel.blocks(network)) == [network["a"][0]]


def test_one_worker_needs_no_wrapper() -> None:
    network = two_workers.Small()
    assert parallel.distributed(network, "ddp", torch.device("cpu")) is network
    assert parallel.workers() == 1
    state = State(network, two_workers.OPTIONS)
    assert parallel.whole(state.parameters[0]) is state.parameters[0]
