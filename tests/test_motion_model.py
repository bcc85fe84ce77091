"""What a dance's network sees, and that long dances are one piece."""

import itertools
from pathlib import Path

import pytest
import torch

from pipeline.conditions import Condition
from pipeline.conditions.given import GivenMotion, kept_channels, kept_frames
from pipeline.conditions.music import of_features, widths
from pipeline.diffusion.dance import MusicToDanceBackend
from pipeline.models import motion
from pipeline.models.files import Files
from pipeline.models.windows import OVERLAP, blend, cut, starts
from pipeline.motion import representation
from pipeline.motion.skeleton import MIRRORED
from pipeline.music import CHANNELS
from pipeline.train.dance_denoising import noise_schedule
from tests import tiny_dance
from tests.dancer import real

OPTIONS = {"frames": 30, "patch": 3, "dim": 16, "layers": 1, "heads": 2}


def dances() -> torch.Tensor:
    """Real dances [N, T, 22, 3] of one length."""
    found = [torch.from_numpy(p) for p in real().values()]
    shortest = min(len(p) for p in found)
    return torch.stack([p[:shortest] for p in found])


def placed(poses: torch.Tensor) -> torch.Tensor:
    """The same dances, begun above the origin and facing +z."""
    start = poses[:, :1, :1] * poses.new_tensor([1, 0, 1])
    return representation.turned(poses - start, -representation.heading(poses)[:, :1, None])


def test_features_give_the_dance_back_but_for_its_place_and_heading() -> None:
    poses = dances()
    assert torch.allclose(representation.decode(representation.encode(poses)), placed(poses), atol=1e-5)


def test_features_do_not_change_where_the_dancer_moves_and_turns() -> None:
    poses = dances()
    moved = representation.turned(poses, torch.full((1, 1, 1), 2.1)) + torch.tensor([3.0, 0, -2])
    assert torch.allclose(representation.encode(moved), representation.encode(poses), atol=1e-5)


def test_the_mirror_turns_the_other_way() -> None:
    poses = dances()
    seen, other = (
        representation.encode(p) for p in (poses, poses[..., list(MIRRORED), :] * torch.tensor([-1.0, 1, 1]))
    )
    assert torch.allclose(seen[..., 0], -other[..., 0], atol=1e-5)
    assert torch.allclose(seen[..., 3], other[..., 3])


def test_a_skeleton_of_given_lengths_keeps_its_directions_and_its_feet() -> None:
    poses = dances()
    lengths = torch.linspace(0.1, 0.4, 21)
    made = representation.with_lengths(poses, lengths)
    assert torch.allclose(representation.bone_lengths(made), lengths.expand(*made.shape[:2], 21), atol=1e-5)
    feet = list(representation.FEET)
    assert torch.allclose(made[..., feet, 1].amin(-1), poses[..., feet, 1].amin(-1), atol=1e-5)
    own = representation.bone_lengths(poses)[0, 0]
    assert torch.allclose(representation.with_lengths(poses[:1, :1], own), poses[:1, :1], atol=1e-5)


def test_a_standing_foot_is_in_contact_and_a_fast_one_is_not() -> None:
    poses = dances()[:1, :1].expand(1, 10, 22, 3).clone()
    poses[..., 1] -= poses[..., list(representation.FEET), 1].amin() - 0.02
    assert representation.contacts(poses)[0, :, 2:].amax() == 1
    running = poses + torch.arange(10)[None, :, None, None] * poses.new_tensor([0.1, 0, 0])
    assert representation.contacts(running).sum() == 0


@pytest.mark.parametrize("length", [10, 150, 151, 240, 1800, 1801])
def test_windows_cover_everything_and_overlap(length: int) -> None:
    places = starts(length, 150)
    assert places[0] == 0
    assert places[-1] == max(0, length - 150)
    for a, b in itertools.pairwise(places):
        assert b - a <= 150 * (1 - OVERLAP) + 1


def test_windows_that_agree_blend_into_the_sequence() -> None:
    x = torch.randn(2, 400, 3, generator=torch.Generator().manual_seed(0))
    places = starts(400, 150)
    assert torch.allclose(blend(cut(x, places, 150), places, 400), x, atol=1e-6)


def test_windows_that_disagree_blend_without_a_step() -> None:
    places = starts(250, 150)
    values = torch.arange(len(places)).float()
    windows = values.repeat(1).view(-1, 1, 1).expand(-1, 150, 1)
    assert torch.diff(blend(windows, places, 250), dim=1).abs().max() < 0.05


def network(seed: int = 0) -> motion.MusicToDance:
    torch.manual_seed(seed)
    made = motion.build(widths(), {"tokens": 16, "pooled": 8}, OPTIONS).eval()
    with torch.no_grad():
        made.fusion.gate[-1].bias.fill_(1.0)
        made.transformer.refine.leave.weight.normal_(std=0.1)  # a fresh network says nothing
    return made


def conditions(rows: int, frames: int) -> dict[str, Condition]:
    generator = torch.Generator().manual_seed(1)
    words, pooled = torch.randn(rows, 5, 16, generator=generator), torch.randn(rows, 8, generator=generator)
    heard = torch.rand(rows, frames, CHANNELS, generator=generator)
    heard[..., -1] = 1
    yes = torch.ones(rows, dtype=torch.bool)
    return {
        "text": Condition(words, torch.ones(rows, 5, dtype=torch.bool), pooled, (), yes),
        "music": of_features(heard),
    }


@pytest.mark.parametrize("length", [29, 30, 31, 100])
def test_dances_of_any_length_come_out_as_long_as_their_music(length: int) -> None:
    made, seen = network(), conditions(2, length)
    keep = {m: torch.ones(2, dtype=torch.bool) for m in seen}
    with torch.no_grad():
        x_0 = made(torch.randn(2, length, representation.WIDTH), torch.tensor([10, 900]), seen, keep)
    assert x_0.shape == (2, length, representation.WIDTH)
    assert x_0.isfinite().all()


def test_a_withheld_condition_has_no_say() -> None:
    made, seen = network(), conditions(1, 30)
    x_t, t = torch.randn(1, 30, representation.WIDTH), torch.tensor([500])
    other = {**seen, "music": of_features(torch.rand(1, 30, CHANNELS))}
    for kept in (True, False):
        keep = {"text": torch.tensor([True]), "music": torch.tensor([kept])}
        with torch.no_grad():
            same = torch.equal(made(x_t, t, seen, keep), made(x_t, t, other, keep))
        assert same is not kept


def test_results_have_the_bones_of_the_training() -> None:
    transformer = network().transformer
    transformer.lengths.copy_(torch.linspace(0.1, 0.4, 21))
    lengths = representation.bone_lengths(transformer.rigid(torch.randn(2, 12, representation.WIDTH)))
    assert torch.allclose(lengths, transformer.lengths.expand_as(lengths), atol=1e-4)


def test_given_frames_and_joints_are_marked() -> None:
    assert kept_frames([[0, 1], [-1, 10]], 300).nonzero()[:, 0].tolist() == [*range(30), *range(270, 300)]
    assert kept_frames(None, 5).all()
    assert kept_channels("all").all()
    legs, upper = kept_channels("legs"), kept_channels("upper")
    assert torch.equal(legs, ~upper)
    given = GivenMotion(60, {"frames": [[0, 1]], "joints": "legs"})
    found = given([dances()[0].numpy(), None])
    assert found.present.tolist() == [True, False]
    assert torch.equal(found.maps[1][0, legs, :30], torch.ones(int(legs.sum()), 30))
    assert found.maps[1][0, upper].sum() == found.maps[1][1].sum() == found.maps[1][0, :, 30:].sum() == 0


def test_in_half_precision_dances_are_the_same_but_for_its_rounding(tmp_path: Path) -> None:
    folder = tiny_dance.generator_folder(tmp_path / "dance", tiny_dance.space_folder(tmp_path / "space", seed=0))
    x_t, t = (
        torch.randn(2, 30, representation.WIDTH, generator=torch.Generator().manual_seed(0)),
        torch.tensor([9, 900]),
    )
    heard = torch.rand(2, 30, CHANNELS, generator=torch.Generator().manual_seed(1))
    yes = torch.ones(2, dtype=torch.bool)
    seen = {
        "text": Condition(torch.ones(2, 3, 16), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 16), (), yes),
        "music": of_features(heard),
    }
    dances = []
    for dtype in (torch.float32, torch.bfloat16):
        backend = MusicToDanceBackend(Files(folder), "cpu", dtype, {"seconds": 1})
        for _ in range(2):  # the second batch as the first
            v = backend.denoise(x_t, t, backend.prepare(seen), dict.fromkeys(seen, yes))
            dances.append(backend.decode(v))
    assert torch.equal(dances[0], dances[1])
    assert torch.equal(dances[2], dances[3])
    assert dances[2].dtype == torch.float32
    assert (dances[0] - dances[2]).abs().max() < 0.1
    exact = torch.zeros(1, 30, representation.WIDTH)
    assert torch.equal(
        backend.decode(exact), MusicToDanceBackend(Files(folder), "cpu", torch.float32, {"seconds": 1}).decode(exact)
    )


def test_the_network_knows_the_schedule_that_it_is_trained_with() -> None:
    t = torch.arange(0, 1000, 37)
    assert torch.allclose(motion.signal(t), noise_schedule().alphas_cumprod[t].sqrt(), atol=2e-3)
