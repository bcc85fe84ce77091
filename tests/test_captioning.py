"""stage=caption: a network that learns to name boxes by their colour, in the layout that transformers loads."""

from pathlib import Path

import pytest
import torch

from pipeline.conditions import EncoderContext
from pipeline.conditions.prepared import Prepared
from pipeline.diffusion.noise import generators
from pipeline.models.captioner import Captioner
from pipeline.models.files import Files
from pipeline.settings import SettingsError
from pipeline.train.captioning import Captioning
from pipeline.train.data import Batch, colours
from pipeline.train.fit import fit
from pipeline.train.picturing import pixels
from pipeline.train.stage import Draws
from pipeline.train.state import State
from pipeline.train.steps import Trainer
from tests.test_train import batch, settings

SMALL = (
    *(f"stage.options.{key}" for key in ("image_size=32", "width=32", "layers=1", "text_layers=1", "vocabulary=300")),
    *(f"stage.options.{key}" for key in ("context_length=16", "dropout=0", "smoothing=0")),
    *(f"optimiser.{key}" for key in ("lr=0.01", "precision=float32", "warmup_steps=1", "weight_decay=0")),
)
GREEDY = {"max_tokens": 16, "beams": 1, "temperature": 0.0, "top_p": 1.0}


@pytest.fixture(scope="module")
def learned(pairs: str) -> tuple[Captioning, State, Batch]:
    """A stage after 200 steps on eight boxes."""
    torch.manual_seed(0)
    chosen = settings("caption", pairs, "unused", *SMALL)
    stage = Captioning.create(chosen)
    state, rows = State(stage.network, chosen.optimiser), batch()
    trainer = Trainer(stage, stage.network, state, chosen.optimiser, 200)
    losses = [float(trainer.step([rows], torch.Generator().manual_seed(i))[0]) for i in range(200)]
    assert losses[0] > 4  # about log of the vocabulary
    assert losses[-1] < 0.5
    return stage, state, rows


def test_it_learns_to_write_what_it_sees(learned: tuple[Captioning, State, Batch]) -> None:
    stage, _, rows = learned
    stage.network.eval()
    figures = stage.validate(stage.network, rows)
    assert figures["word_f1"] > 0.9
    assert figures["exact"] > 0.7
    assert figures["loss_text"] < 0.5


def test_transformers_writes_what_the_stage_writes(learned: tuple[Captioning, State, Batch], tmp_path: Path) -> None:
    stage, _, rows = learned
    image = colours(rows["image"])
    said = stage.captions(stage.network.eval(), image)
    stage.save(stage.network, tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    ready = Prepared.load(EncoderContext(str(tmp_path), "cpu"))(list(pixels(image))).maps[0]
    assert torch.allclose(ready, image * 2 - 1, atol=1e-5)  # as the network was trained
    assert Captioner(Files(tmp_path), "cpu", torch.float32, GREEDY)(ready, generators([0] * len(image))) == said


def test_every_weight_learns_but_the_pooler(learned: tuple[Captioning, State, Batch]) -> None:
    stage, _, rows = learned
    stage.network.zero_grad()
    stage.loss(stage.network, rows, torch.Generator().manual_seed(0)).backward()
    idle = {name for name, p in stage.network.named_parameters() if p.grad is None}
    assert idle == {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}


def test_it_goes_on_from_a_checkpoint(learned: tuple[Captioning, State, Batch], pairs: str, tmp_path: Path) -> None:
    _, state, rows = learned
    average = state.save(tmp_path)
    fresh = Captioning.create(settings("caption", pairs, "unused", *SMALL))
    again = State(fresh.network, settings("caption", pairs, "unused", *SMALL).optimiser)
    again.load(tmp_path)
    assert again.position == state.position
    with again.averaged() as network:
        assert all(torch.equal(value, average[name]) for name, value in network.state_dict().items())
    fresh.network.load_state_dict(average)
    assert fresh.validate(fresh.network.eval(), rows)["word_f1"] > 0.5


@torch.no_grad()
def test_padding_and_what_comes_after_the_end_have_no_say(learned: tuple[Captioning, State, Batch]) -> None:
    stage, _, rows = learned
    image, texts = colours(rows["image"])[:1], list(rows["text"])[:1]
    stage.network.eval()
    alone = float(stage.error(stage.network, image, texts))
    padded = float(stage.error(stage.network, image.repeat(2, 1, 1, 1), [*texts, ""]))
    ends = float(stage.error(stage.network, image, [""]))
    count = int((stage.ids(texts) != 0).sum()) - 1  # tokens that are predicted; of "" it is the end alone
    assert padded == pytest.approx((alone * count + ends) / (count + 1), rel=1e-4)
    both = stage.captions(stage.network, colours(rows["image"]))
    assert [stage.captions(stage.network, colours(rows["image"])[i : i + 1])[0] for i in range(3)] == both[:3]


def test_it_draws_pictures_with_their_captions(learned: tuple[Captioning, State, Batch]) -> None:
    stage, _, rows = learned
    assert isinstance(stage, Draws)
    drawn = stage.draw(stage.network.eval(), {k: v[:3] for k, v in rows.items()}, 1)
    assert drawn.picture.shape == (3 * 256, 3 * 256, 3)
    assert drawn.figures == {}


def test_rows_without_picture_or_text_teach_nothing(pairs: str) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(pairs).slice(0, 3).select(["text", "image"])
    table = table.set_column(0, "text", [["a box", None, ""]])
    assert Captioning.reader({"image_size": 32})(table)["text"].to_pylist() == ["a box"]


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("stage.options.width=48", "must be a multiple of stage.options.patch_size, and width of 32"),
        ("stage.options.patch_size=5", "must be a multiple of stage.options.patch_size, and width of 32"),
        ("input.columns.text=null", "this training needs input.columns.text= to name a column"),
        ("input.columns.image=null", "this training needs input.columns.image= to name a column"),
    ],
)
def test_what_cannot_be_trained_is_named_before_anything_is_written(
    pairs: str, tmp_path: Path, change: str, answer: str
) -> None:
    with pytest.raises(SettingsError, match=answer):
        fit(settings("caption", pairs, str(tmp_path / "out"), *SMALL, change))
    assert not (tmp_path / "out").exists()
