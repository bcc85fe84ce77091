from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.settings import SettingsError
from pipeline.train import data
from tests import tiny
from tests.test_train import batch


def test_batches_become_pictures() -> None:
    image, sketch = data.to_tensors(batch(3))
    assert image.shape == (3, 3, 32, 32)
    assert sketch.shape == (3, 1, 32, 32)
    assert torch.equal(image[1].permute(1, 2, 0) * 255, torch.from_numpy(np.asarray(tiny.picture(1)[0])).float())


def test_rows_are_filtered_and_decoded(pairs: str) -> None:
    table = data._read_group(pairs, 0, {"text": "text", "image": "image"}, "n > 1")
    decoded = data.pictures({"image_size": 16}, ["image"])(table)
    assert decoded["text"].to_pylist() == ["a blue box", "a yellow box"]
    assert len(decoded["image"][0].as_py()) == 16 * 16 * 3


def test_rows_without_tags_have_empty_ones(pairs: str) -> None:
    table = data.pictures({"image_size": 32}, [])(data._read_group(pairs, 0, {"text": "text"}, None))
    assert table["tags"].to_pylist() == [""] * 4


def test_augmentation_moves_all_channels_together_and_keeps_the_ground_white() -> None:
    picture = torch.ones(64, 1, 32, 32)
    picture[:, :, 10:20, 8:14] = 0
    moved = data.augment(picture.repeat(1, 3, 1, 1), torch.Generator().manual_seed(0), torch.ones(64, dtype=torch.bool))
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert moved[:, :, 0].min() > 0.99
    still = (moved[:, 0] - picture[:, 0]).abs().amax((1, 2)) < 1e-5
    assert 5 < int(still.sum()) < 32  # a quarter is neither moved nor mirrored


def test_only_what_may_be_mirrored_is() -> None:
    assert data.may_mirror(["woman: dark skin tone", "left arrow", "flag: France"]).tolist() == [True, False, False]
    picture = torch.ones(32, 1, 8, 8)
    picture[:, :, :, :2] = 0
    same = data.augment(picture, torch.Generator().manual_seed(1), torch.zeros(32, dtype=torch.bool))
    assert (same[:, 0, :, 0].mean(1) <= same[:, 0, :, -1].mean(1) + 1e-6).all()


def test_captions_are_the_text_or_some_of_its_words_and_tags() -> None:
    rng = np.random.default_rng(0)
    seen = {data.caption("a red box", "square, shape", rng) for _ in range(200)}
    assert {"a red box", "red box", "a red box, square"} <= seen
    assert all(set(c.replace(",", "").split()) <= {"a", "red", "box", "square", "shape"} for c in seen)
    assert {data.caption("box", "", rng) for _ in range(100)} == {"box"}  # never nothing


def test_rows_may_lack_what_is_not_needed_but_hold_nothing_unreadable(tmp_path: Path) -> None:
    rows = tiny.rows(5)
    rows[1]["image"] = {"bytes": b"no picture", "path": None}
    rows[4]["text"] = "a" * 10_001  # longer than a text may be
    rows[2]["sketch"] = None
    source = tiny.write(tmp_path / "in.parquet", rows, row_group_rows=5)
    columns = {"text": "text", "image": "image", "sketch": "sketch"}
    table = data._read_group(str(source), 0, columns, None)
    strict = data.pictures({"image_size": 16}, ["image", "sketch"])(table)
    assert strict["text"].to_pylist() == [rows[0]["text"], rows[3]["text"]]
    loose = data.pictures({"image_size": 16}, ["image"])(table)
    assert loose["text"].to_pylist() == [rows[i]["text"] for i in (0, 2, 3)]
    assert loose["has_sketch"].to_pylist() == [True, False, True]
    assert loose["sketch"][1].as_py() == b"\xff" * 16 * 16
    with pytest.raises(SettingsError, match="input.columns.mask"):
        data.pictures({"image_size": 16}, ["mask"])(table)


MOST = 4096


def numbers(batches: Iterable[data.Batch]) -> list[list[int]]:
    return [batch["n"].tolist() for batch in batches]


def test_a_pass_is_shuffled_by_itself() -> None:
    chunks = [{"n": np.arange(10)}, {"n": np.arange(10)}]
    made = numbers(data.shuffled(chunks, 4, np.random.default_rng(0)))
    assert [len(b) for b in made] == [4] * 4
    for one, two in (made[:2], made[2:]):
        assert len({*one, *two}) == 8  # no row twice
    assert made[:2] != made[2:]
    assert sorted(made[0]) != made[0]
    assert made == numbers(data.shuffled(chunks, 4, np.random.default_rng(0)))
    assert made != numbers(data.shuffled(chunks, 4, np.random.default_rng(1)))


@pytest.mark.parametrize(("rows", "passes"), [(10, 3), (5000, 2), (4096, 2), (4097, 3)])
def test_batches_are_counted_before_they_are_there(rows: int, passes: int) -> None:
    size = data.window(rows, 6, MOST)
    every = np.tile(np.arange(rows), passes)
    chunks = [{"n": every[start : start + size]} for start in range(0, len(every), size)]
    made = numbers(data.shuffled(chunks, 6, np.random.default_rng(0)))
    assert len(made) == data.batch_count(rows, passes, 6, MOST)
    assert data.window(rows, 6, MOST) <= MOST
