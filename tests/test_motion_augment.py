import numpy as np
import pytest
import torch

from pipeline.motion import representation
from pipeline.motion.augment import faster, mirrored, yawed
from pipeline.motion.skeleton import mirror
from tests import dancer

POSES = {genre: torch.from_numpy(poses) for genre, poses in dancer.real().items()}


@pytest.mark.parametrize("poses", POSES.values(), ids=POSES)
def test_a_mirror_image_of_a_mirror_image_is_the_dance(poses: torch.Tensor) -> None:
    assert torch.equal(mirrored(mirrored(poses)), poses)
    np.testing.assert_array_equal(mirrored(poses).numpy(), mirror(poses.numpy()))


@pytest.mark.parametrize("poses", POSES.values(), ids=POSES)
def test_a_turned_dance_looks_otherwise_and_has_the_same_features(poses: torch.Tensor) -> None:
    moved = yawed(poses, 2.0)
    assert (moved - poses).abs().max() > 0.1
    torch.testing.assert_close(representation.encode(moved), representation.encode(poses), atol=2e-5, rtol=0)
    torch.testing.assert_close(yawed(moved, -2.0), poses, atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.2])
def test_a_faster_dance_is_shorter_and_every_speed_greater(factor: float) -> None:
    steps = torch.arange(100.0)[:, None, None] * torch.tensor([0.02, 0, 0.01]) + torch.from_numpy(dancer.standing(100))
    quick = faster(steps, factor)
    assert len(quick) == int(99 / factor + 1e-6) + 1
    places = steps[0, 0] + torch.arange(len(quick))[:, None] * factor * torch.tensor([0.02, 0, 0.01])
    torch.testing.assert_close(quick[:, 0], places, atol=1e-5, rtol=0)
    velocity = [representation.encode(p)[:, representation.VELOCITY] for p in (steps, quick)]
    torch.testing.assert_close(velocity[1], velocity[0][0] * factor + torch.zeros_like(velocity[1]), atol=1e-5, rtol=0)


def test_music_goes_with_its_dance() -> None:
    beat = 2 * np.pi * torch.arange(300.0) / 15  # two a second
    music = torch.stack([beat.sin(), beat.cos(), torch.ones(300)], -1)
    quick = faster(music, 1.2)
    expected = 2 * np.pi * torch.arange(len(quick)) * 1.2 / 15
    torch.testing.assert_close(quick[:, 0], expected.sin(), atol=0.03, rtol=0)
    assert torch.equal(quick[:, 2], torch.ones(len(quick)))
    torch.testing.assert_close(faster(music, 1.0), music)


def test_speed_has_no_kinks_between_frames() -> None:
    frames = torch.sin(torch.arange(60.0) / 4)[:, None]
    slow = faster(frames, 0.25)[:, 0]
    truth = torch.sin(torch.arange(len(slow)) / 16)
    assert (slow - truth)[8:-8].abs().max() < 1e-3  # linear interpolation: 8e-3
    assert torch.diff(slow, n=2)[8:-8].abs().max() < 1.5 * torch.diff(truth, n=2).abs().max()
