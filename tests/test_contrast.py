"""The contrastive loss, what it makes of missing modalities and hard negatives, and how retrieval is counted."""

import math
from pathlib import Path

import numpy as np
import open_clip.loss
import pytest
import torch
from torch.nn import functional as F

from pipeline.settings import SettingsError
from pipeline.train import contrast
from pipeline.train.alignment import Alignment, checked
from pipeline.train.fit import fit
from tests.test_train import batch, settings


def unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_contrastive_loss_in_closed_form() -> None:
    assert contrast.contrastive(torch.zeros(4, 4), torch.eye(4)) == pytest.approx(math.log(4))
    assert contrast.contrastive(100 * torch.eye(4), torch.eye(4)) == pytest.approx(0, abs=1e-4)
    # Two rows that are each other's positives share the probability: ln 2 is the least that can be reached.
    pair = torch.block_diag(torch.ones(2, 2), torch.ones(1, 1))
    assert contrast.contrastive(100 * pair, pair) == pytest.approx(math.log(2) * 2 / 3, abs=1e-4)


def test_it_is_open_clips_loss() -> None:
    one, two, scale = unit(9, 0), unit(9, 1), torch.tensor(14.0)
    theirs = open_clip.loss.ClipLoss()(one, two, scale)
    ours = contrast.between(one, two, torch.ones(9, dtype=torch.bool), scale, torch.eye(9))
    assert ours is not None
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_rows_that_lack_a_modality_are_not_there() -> None:
    one, two, scale = unit(9, 0), unit(9, 1), torch.tensor(14.0)
    both = torch.arange(9) < 5
    found = contrast.between(one, two, both, scale, torch.eye(9))
    alone = contrast.between(one[:5], two[:5], both[:5], scale, torch.eye(5))
    assert found is not None
    assert alone is not None
    assert found.item() == alone.item()
    assert contrast.between(one, two, torch.arange(9) < 1, scale, torch.eye(9)) is None


def test_hard_negatives_weigh_more_and_all_of_them_as_much_as_before() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.5, 3.0, 0.5], [1.0, 1.0, 1.0]])
    own = torch.eye(3)
    weights = (contrast.harder(logits, own, 0.7) - logits).exp()
    assert torch.equal(weights.diagonal(), torch.ones(3))
    off = ~own.bool()
    assert torch.allclose(weights[off].view(3, 2).mean(1), torch.ones(3))
    assert weights[0, 1] / weights[0, 2] == pytest.approx(math.exp(0.7 * 2), rel=1e-5)
    assert torch.allclose(weights[1:], torch.ones(2, 3))  # negatives that are alike
    assert torch.equal(contrast.harder(torch.ones(1, 1), torch.eye(1), 0.7), torch.ones(1, 1))
    assert contrast.contrastive(logits, own, 0.7) > contrast.contrastive(logits, own)


def test_recall_in_closed_form() -> None:
    eye = np.eye(5)
    assert [contrast.recall(eye, k) for k in contrast.RANKS] == [1, 1, 1]
    assert contrast.recall(np.roll(eye, 1, 0), 1) == 0
    assert contrast.recall(np.zeros((5, 5)), 1) == 0  # nothing is known: the own row is the third of five
    assert contrast.recall(np.zeros((5, 5)), 5) == 1
    order = -np.arange(20.0)[None] * np.ones((20, 1))  # column 0 is the nearest to every row
    assert contrast.recall(order, 5) == pytest.approx(5 / 20)


def test_the_gap_lies_between_the_means() -> None:
    right, up = np.array([[1.0, 0.0]] * 3), np.array([[0.0, 1.0]] * 3)
    assert contrast.gap(right, right) == 0
    assert contrast.gap(right, up) == pytest.approx(math.sqrt(2))


def test_pairs_are_of_two_known_modalities() -> None:
    assert checked([["image", "sketch"]]) == [["image", "sketch"]]
    for wrong in ([["image", "image"]], [["image", "audio"]], []):
        with pytest.raises(SettingsError, match="pairs"):
            checked(wrong)


def test_wrong_pairs_are_named_before_anything_is_written(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must be two of image, sketch, text"):
        fit(settings("align", pairs, str(tmp_path / "out"), "stage.options.pairs=[[image,audio]]"))
    assert not (tmp_path / "out").exists()


def test_a_pair_that_no_row_has_teaches_nothing(pairs: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    both = Alignment.create(settings("align", pairs, str(tmp_path), "stage.options.pairs=[[image,text],[sketch,text]]"))
    given, generator = batch(5), torch.Generator()
    blind = {**given, "has_sketch": np.zeros(5, bool)}
    one = both.loss(both.network, blind, generator.manual_seed(1))
    both.pairs = [["image", "text"]]
    assert one.item() == both.loss(both.network, given, generator.manual_seed(1)).item()
    mute = both.loss(both.network, {**blind, "has_text": np.zeros(5, bool)}, generator)
    mute.backward()
    assert mute.item() == 0
    assert all(p.dim() for p in both.network.parameters())  # FSDP2 shares no scalars
    assert all(p.grad is not None and not p.grad.any() for p in both.network.parameters())


def test_the_space_is_measured_and_mapped(pairs: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = Alignment.create(settings("align", pairs, str(tmp_path)))
    drawn = stage.draw(stage.network, {**batch(), "has_text": np.arange(8) < 6}, steps=1)
    assert drawn.picture.ndim == 3
    assert drawn.picture.std() > 0
    assert {"image_to_text_r1", "text_to_sketch_r10", "image_to_sketch_r5", "gap_image_text"} <= set(drawn.figures)
    assert drawn.figures["image_to_text_r10"] == 1  # among six
    assert set(stage.validate(stage.network, {**batch(), "has_sketch": np.zeros(8, bool)})) == {
        f"{a}_r1" for a in ("image_to_text", "text_to_image", "sketch_to_text", "text_to_sketch")
    }
    blind = stage.draw(stage.network, {**batch(), "has_sketch": np.zeros(8, bool)}, steps=1).figures
    assert 0 <= blind["image_to_text_r1"] <= 1
    assert math.isnan(blind["sketch_to_text_r1"])
    assert math.isnan(blind["gap_sketch_text"])
    few = stage.draw(stage.network, batch(3), steps=1)
    assert few.picture.size == 0  # nine points make no map
