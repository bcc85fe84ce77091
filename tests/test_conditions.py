import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.clip import Clip, TextEncoder, to_unit
from pipeline.conditions.language import LanguageEncoder
from pipeline.conditions.pixels import Colour
from pipeline.conditions.sketch import SketchEncoder
from pipeline.settings import SettingsError
from tests.tiny import SIZE, language_folder, picture

Models = dict[str, str]


@pytest.fixture(scope="module")
def context(models: Models) -> EncoderContext:
    return EncoderContext(models["path"], "cpu")


def test_conditions_refuse_tensors_that_disagree() -> None:
    good = {"tokens": torch.zeros(2, 3, 4), "mask": torch.ones(2, 3, dtype=torch.bool), "pooled": torch.zeros(2, 5)}
    with pytest.raises(ValueError, match="disagree"):
        Condition(**good, maps=(torch.zeros(3, 1, 2, 2),), present=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="disagree"):
        Condition(**{**good, "mask": torch.ones(2, 4, dtype=torch.bool)}, maps=(), present=torch.ones(2))


def test_rows_and_branches(context: EncoderContext) -> None:
    text = TextEncoder.load(context)(["a red box", None, "a blue box"])
    assert text.present.tolist() == [True, False, True]
    swapped = text.rows(torch.tensor([2, 0]))
    assert torch.equal(swapped.tokens, text.tokens[[2, 0]])
    branches = text.repeat(2)
    assert torch.equal(branches.pooled[3:], text.pooled)
    assert text.withhold(torch.tensor([True, True, False])).present.tolist() == [False, False, True]


def test_a_row_of_a_batch_does_not_depend_on_the_others(context: EncoderContext) -> None:
    encoder = TextEncoder.load(context)
    one = encoder(["a red box", "a green box", None, None])
    other = encoder(["a red box", None, "a blue box", "a black box"])
    assert torch.equal(one.tokens[0], other.tokens[0])
    assert torch.equal(one.pooled[0], other.pooled[0])


def test_word_vectors_do_not_know_their_neighbours(models: Models) -> None:
    clip = Clip.load(f"{models['path']}/clip")
    words, hidden = TextEncoder(clip, "words"), TextEncoder(clip)
    one, other = ["a red box"], ["the red box"]
    at = {e: [e(text).tokens[0][e(text).mask[0]] for text in (one, other)] for e in (words, hidden)}
    assert torch.equal(at[words][0][-3:], at[words][1][-3:])
    assert not torch.equal(at[hidden][0][-3:], at[hidden][1][-3:])
    assert torch.equal(words(one).pooled, hidden(one).pooled)
    with pytest.raises(SettingsError, match="text_tokens must be hidden or words"):
        TextEncoder(clip, "letters")


def test_padding_is_masked_and_does_not_change_real_tokens(context: EncoderContext) -> None:
    text = TextEncoder.load(context)(["red box"])
    real = text.mask[0]
    assert 3 <= int(real.sum()) < len(real)
    assert real[: int(real.sum())].all()


def test_sketches_become_maps_that_are_one_on_lines(context: EncoderContext) -> None:
    sketch = np.asarray(picture(3)[1])
    made = SketchEncoder.load(context)([sketch, None])
    assert made.maps[0].shape == (2, 1, SIZE, SIZE)
    assert torch.equal(made.maps[0][0, 0] > 0.5, torch.from_numpy(sketch < 128))
    assert not made.maps[0][1].any()
    assert made.present.tolist() == [True, False]


def test_sketches_of_any_size_fit(context: EncoderContext) -> None:
    made = SketchEncoder.load(context)([np.full((100, 50), 255, np.uint8)])
    assert made.maps[0].shape == (1, 1, SIZE, SIZE)


def test_encoders_of_one_model_share_its_clip(context: EncoderContext) -> None:
    assert TextEncoder.load(context).clip is SketchEncoder.load(context).clip


def test_embeddings_have_unit_length_and_survive_a_round_trip(models: Models) -> None:
    first, second = Clip.load(models["judge"]), Clip.load(models["judge"])
    pictures = to_unit([np.asarray(picture(i)[0]) for i in range(3)])
    a, b = first.embed_images(pictures), second.embed_images(pictures)
    assert torch.equal(a, b)
    assert torch.allclose(a.norm(dim=1), torch.ones(3))
    assert torch.allclose(first.embed_texts(["a red box"])[2].norm(dim=1), torch.ones(1))
    assert first.widths == {"tokens": 32, "pooled": 16}


def test_two_models_differ(models: Models) -> None:
    picture_ = to_unit([np.asarray(picture(0)[0])])
    assert not torch.allclose(
        Clip.load(models["judge"]).embed_images(picture_), Clip.load(f"{models['path']}/clip").embed_images(picture_)
    )


def test_a_pickled_checkpoint_is_not_loaded(models: Models, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for name in ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((Path(models["judge"]) / name).read_bytes())
    torch.save({"weights": Evil()}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights_only|unpickl|pickle"):
        Clip.load(str(folder))
    assert not (tmp_path / "owned").exists()


class Evil:
    """Would write a file if anybody unpickled it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('executed')",))


def test_grey_pictures_are_coloured_ones_too() -> None:
    grey = np.full((4, 4), 7, np.uint8)
    found = Colour(8)([grey, np.repeat(grey[:, :, None], 3, 2), None])
    assert found.maps[0].shape == (3, 3, 8, 8)
    assert torch.equal(found.maps[0][0], found.maps[0][1])
    assert (found.maps[0][2] == 255).all()
    assert found.present.tolist() == [True, True, False]


def test_any_text_encoder_may_read_the_texts(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"text_tokens": "language"}))
    language_folder(tmp_path / "language", 0)
    encoder = TextEncoder.load(EncoderContext(str(tmp_path), "cpu"))
    assert isinstance(encoder, LanguageEncoder)
    found = encoder(["a red box", None, "a red box and a blue box"])
    assert found.tokens.shape == (3, encoder.length, encoder.widths["tokens"])
    assert found.present.tolist() == [True, False, True]
    real = found.mask[0]
    assert torch.allclose(found.pooled[0], found.tokens[0][real].mean(0), atol=1e-6)
    other = encoder(["a red box", "words", "others"])  # neighbours have no say
    assert torch.equal(found.tokens[0], other.tokens[0])
    assert torch.equal(found.pooled[0], other.pooled[0])
    longest = encoder(["box " * 500])
    assert longest.mask.all()
    with pytest.raises(SettingsError, match="holds no text encoder that can be loaded"):
        LanguageEncoder.of(tmp_path)
