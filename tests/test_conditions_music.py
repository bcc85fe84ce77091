import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from pipeline.conditions import EncoderContext
from pipeline.conditions.frozen import FrozenEncoder
from pipeline.conditions.music import MusicEncoder, of_features, widths
from pipeline.motion.skeleton import FPS
from pipeline.music import CHANNELS, MEL, MUSIC, MusicFeatures
from pipeline.settings import SettingsError
from pipeline.sound import RATE

WAVES = {"hidden_size": 16, "num_hidden_layers": 0, "num_attention_heads": 2, "intermediate_size": 16}
WAVES |= {"conv_dim": [8] * 7, "feat_extract_norm": "layer", "num_conv_pos_embeddings": 4}
WAVES |= {"num_conv_pos_embedding_groups": 2}
AUDIO = {"spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4}
AUDIO |= {"hidden_size": 32, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "num_attention_heads": [1, 2, 2]}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 10}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with three frozen models, of random weights, inside it."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("model")
    HubertModel(HubertConfig(**WAVES)).save_pretrained(root / "hubert")
    Wav2Vec2Model(Wav2Vec2Config(**WAVES)).save_pretrained(root / "wav2vec2")
    Wav2Vec2FeatureExtractor(sampling_rate=24_000, do_normalize=False).save_pretrained(root / "hubert")
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(root / "wav2vec2")
    ClapModel(ClapConfig(audio_config=AUDIO, text_config=TEXT, projection_dim=8)).save_pretrained(root / "clap")
    extractor = ClapFeatureExtractor(16, 48_000, hop_length=1_920, fft_window_size=2_048, truncation="rand_trunc")
    extractor.save_pretrained(root / "clap")
    return root


def encoder(folder: Path, music: str | None, seconds: float = 3) -> MusicEncoder:
    index = {"_class_name": "MusicToDance"} | ({"music": music} if music else {})
    (folder / "model_index.json").write_text(json.dumps(index))
    return MusicEncoder.load(EncoderContext(str(folder), "cpu", options={"seconds": seconds}))


def test_pieces_are_cut_or_ended_with_no_music(folder: Path) -> None:
    short, long = noise(1.5), noise(4)
    made = encoder(folder, None)([short, None, long])
    assert made.maps[0].shape == (3, CHANNELS, 90)
    assert made.maps[0][:, MUSIC].sum(-1).tolist() == [45, 0, 90]
    assert not made.maps[0][0, :, 45:].any()
    assert not made.maps[0][1].any()
    assert made.present.tolist() == [True, False, True]
    hear = MusicFeatures()
    assert torch.equal(made.maps[0][0, :, :45].T, hear(torch.from_numpy(short)))
    assert torch.equal(made.maps[0][2].T, hear(torch.from_numpy(long[: 3 * RATE])))


def test_summaries_are_moments_of_what_is_music(folder: Path) -> None:
    made = encoder(folder, None, 2.5)([noise(1.5), noise(9, 1)])
    assert made.tokens.shape == (2, 3, 2 * CHANNELS)
    assert made.mask.tolist() == [[True, True, False], [True, True, True]]
    assert made.pooled.shape == (2, widths()["pooled"])
    mel = made.maps[0][0, MEL].double()
    mean, std = made.pooled[0].double().chunk(2)
    assert torch.allclose(mean[MEL], mel[:, :45].mean(1))
    assert torch.allclose(std[MEL], mel[:, :45].std(1, correction=0), atol=1e-6)
    second = made.tokens[0, 1].double().chunk(2)
    assert torch.allclose(second[0][MEL], mel[:, 30:45].mean(1))
    assert torch.allclose(second[1][MEL], mel[:, 30:45].std(1, correction=0), atol=1e-6)
    assert not made.tokens[0, 2].any()


def test_features_of_a_training_batch_are_the_same_evidence(folder: Path) -> None:
    made = encoder(folder, None)([noise(2), noise(3, 1)])
    again = of_features(made.maps[0].transpose(1, 2).contiguous())
    for ours, theirs in ((made.tokens, again.tokens), (made.mask, again.mask), (made.pooled, again.pooled)):
        assert torch.equal(ours, theirs)
    assert torch.equal(made.maps[0], again.maps[0])
    assert again.present.all()


@pytest.mark.parametrize("music", [None, "hubert", "clap"])
def test_a_row_does_not_depend_on_the_others(folder: Path, music: str | None) -> None:
    encode = encoder(folder, music)
    one, other = encode([noise(2), None, noise(3, 1)]), encode([noise(2), noise(1, 2), None])
    assert torch.equal(one.maps[0][0], other.maps[0][0])
    assert torch.equal(one.tokens[0], other.tokens[0])


@pytest.mark.parametrize("seconds", [0, -1, 121, 10_000])
def test_lengths_that_cannot_be_danced_are_refused(folder: Path, seconds: float) -> None:
    with pytest.raises(SettingsError, match=r"task.options.seconds must be above 0 and at most 120"):
        encoder(folder, None, seconds)


@pytest.mark.parametrize(("music", "width"), [("hubert", 16), ("wav2vec2", 16), ("clap", 32)])
def test_a_frozen_model_hears_each_frame(folder: Path, music: str, width: int) -> None:
    encode = encoder(folder, music)
    made = encode([noise(2), None])
    assert encode.hearing.channels == width + 1
    assert made.maps[0].shape == (2, width + 1, 3 * FPS)
    assert made.maps[0][:, -1].sum(-1).tolist() == [2 * FPS, 0]
    assert made.pooled.shape == (2, widths(width + 1)["pooled"])
    assert made.tokens.shape == (2, 3, 2 * (width + 1))
    assert not any(p.requires_grad for p in encode.hearing.parameters())


@pytest.mark.parametrize(("music", "within"), [("hubert", 0.1), ("wav2vec2", 0.1), ("clap", 0.7)])
@pytest.mark.parametrize("at", [2.0, 7.0, 12.5])
def test_what_a_frozen_model_hears_stands_where_it_sounds(folder: Path, music: str, within: float, at: float) -> None:
    hear = FrozenEncoder.load(folder / music)
    quiet = torch.from_numpy(noise(15))
    struck = quiet.clone()
    struck[round(at * RATE) : round((at + 0.1) * RATE)] *= 8
    moved = (hear(struck) - hear(quiet)).norm(dim=-1)
    assert abs(float(moved.argmax()) / FPS - at - 0.05) < within  # a CLAP sees three steps a second


def test_a_frozen_model_is_a_folder_without_pickles(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no model that hears music \(no config.json\)"):
        encoder(folder, "elsewhere")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (pickled / name).write_bytes((folder / "hubert" / name).read_bytes())
    torch.save(HubertModel.from_pretrained(folder / "hubert").state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"safetensors"):
        FrozenEncoder.load(pickled)
