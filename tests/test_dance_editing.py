"""A dance of which a part is given: the part stays as it was, the rest is new and differs from sample to sample."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.motion import representation
from pipeline.motion.skeleton import PARENTS
from pipeline.settings import SettingsError
from tests import tiny_dance
from tests.test_stages import run as stages

FRAMES = 36  # of a dance to 1.2 s of music
ARMS = (16, 17, 18, 19, 20, 21)
LEGS = (1, 2, 4, 5, 7, 8, 10, 11)


def edited(tmp_path: Path, *hold: str) -> tuple[np.ndarray, np.ndarray]:
    """Bones of the given dance [36, 21, 3] and of two edited ones [2, 36, 21, 3]; see `local`."""
    folders = tiny_dance.models(tmp_path / "models")
    rows = tiny_dance.rows(1)
    source = tiny_dance.write(tmp_path / "in.parquet", rows)
    more = ["task=dance_editing", "num_samples=2", "steps=4", *(f"task.options.hold.{h}" for h in hold)]
    found: pa.Table = stages(tiny_dance.generate(folders, str(source), str(tmp_path / "out"), *more))
    assert found["status"].to_pylist() == ["ok", "ok"]
    made = np.stack([np.array(m, np.float32).reshape(-1, 22, 3)[:FRAMES] for m in found["motion"].to_pylist()])
    given = rows[0]["motion"].reshape(-1, 22, 3)[:FRAMES]
    return local(given), np.stack([local(m) for m in made])


def local(poses: np.ndarray) -> np.ndarray:
    """Directions [T, 21, 3] of the bones as seen from the hips: neither place, heading nor body matter."""
    across = torch.from_numpy(poses[:, 1] - poses[:, 2])
    heading = torch.atan2(-across[:, 2], across[:, 0])
    bones = torch.from_numpy(poses[:, 1:] - poses[:, list(PARENTS[1:])])
    seen = representation.turned(bones, -heading[:, None].expand(-1, 21))
    return (seen / seen.norm(dim=-1, keepdim=True)).numpy()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two directions."""
    return float(np.abs(a - b).max())


def test_frames_that_are_given_stay_and_the_others_are_new(tmp_path: Path) -> None:
    given, made = edited(tmp_path, "frames=[[0,0.4],[-0.4,10]]")
    for frames in (slice(0, 11), slice(25, 36)):
        assert apart(made[0, frames], given[frames]) < 0.25
        assert apart(made[0, frames], made[1, frames]) < 0.02
    assert apart(made[0, 14:22], made[1, 14:22]) > 0.2


def test_legs_that_are_given_stay_and_arms_are_new(tmp_path: Path) -> None:
    _, made = edited(tmp_path, "frames=null", "joints=legs")
    legs, arms = ([j - 1 for j in joints] for joints in (LEGS, ARMS))
    assert apart(made[0][:, legs], made[1][:, legs]) < 0.02
    assert apart(made[0][:, arms], made[1][:, arms]) > 0.2


def test_a_part_that_is_unknown_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="known are all, legs, upper"):
        edited(tmp_path, "joints=nose")
