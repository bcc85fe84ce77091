from pathlib import Path

import hypothesis.strategies as st
import librosa
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings

from pipeline import music, sound
from pipeline.motion.skeleton import FPS
from pipeline.music import BEAT, CHANNELS, MEL, MUSIC, ONSET, WINDOW, MusicFeatures
from pipeline.sound import RATE

HEAR = MusicFeatures()
SAMPLE = Path(sound.__file__).parent / "starter" / "samples" / "dance.parquet"


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness moves, so that it has onsets."""
    rng = np.random.default_rng(seed)
    knots = np.arange(0, samples + 2_000, 2_000)
    envelope = np.interp(np.arange(samples), knots, rng.uniform(0, 1, len(knots)))
    return (0.1 * envelope * rng.standard_normal(samples)).astype(np.float32)


def drums(bpm: float, seconds: float, first: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """A waveform of one beat of a drum after the other, every fourth louder, and the seconds of the beats."""
    rng, times = np.random.default_rng(3), np.arange(first, seconds - 0.1, 60 / bpm)
    wave = 0.002 * rng.standard_normal(round(seconds * RATE)).astype(np.float32)
    hit = rng.standard_normal(1_600) * np.exp(-np.arange(1_600) / 300)
    for i, time in enumerate(times):
        at = round(time * RATE)
        wave[at : at + len(hit)] += (0.3 if i % 4 == 0 else 0.15) * hit[: len(wave) - at]
    return wave.clip(-1, 1), times


def reference_mel(wave: np.ndarray, hop: int) -> np.ndarray:
    """librosa's power in dB [T, BANDS]."""
    power = librosa.feature.melspectrogram(
        y=wave, sr=RATE, n_fft=WINDOW, hop_length=hop, n_mels=64, fmin=30, fmax=8_000, pad_mode="reflect"
    )
    return np.asarray(librosa.power_to_db(power, amin=music.FLOOR, top_db=None)).T


def test_filters_are_librosas() -> None:
    assert (
        np.abs(music.mel_filters() - librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=64, fmin=30, fmax=8_000)).max()
        < 1e-7
    )


def test_spectrum_is_librosas_where_frames_meet_a_whole_hop() -> None:
    wave = noise(4 * RATE)
    ours = HEAR.log_mel(torch.from_numpy(wave)).numpy()[::3]  # three frames are 1,600 samples
    theirs = reference_mel(wave, 1_600)[: len(ours)]
    assert np.abs(ours - theirs).max() < 1e-3


@pytest.mark.parametrize("frame", [1, 2, 31, 58])
def test_frames_are_centred_on_those_of_the_dance(frame: int) -> None:
    wave = noise(2 * RATE)
    centre = round(frame * RATE / FPS)
    theirs = reference_mel(wave[centre % 533 :], 533)[centre // 533]  # a grid of 533 that is moved to meet it
    ours = HEAR.log_mel(torch.from_numpy(wave)).numpy()[frame]
    assert np.abs(ours - theirs).max() < 1e-3


def test_onset_strength_is_librosas() -> None:
    loud = music.loudness(music.relative(HEAR.log_mel(torch.from_numpy(noise(2 * RATE)))))
    theirs = librosa.onset.onset_strength(S=loud.numpy().T, sr=RATE, center=False)
    assert np.abs(music.onset(loud).numpy() - theirs).max() < 1e-6
    assert theirs.max() > 0.05


@given(st.integers(WINDOW // 2 + 1, 3 * RATE))
@settings(max_examples=10, deadline=None)
def test_features_have_one_frame_for_each_of_the_dance(samples: int) -> None:
    heard = HEAR(torch.from_numpy(noise(samples)))
    assert heard.shape == (round(samples / RATE * FPS), CHANNELS)
    assert torch.isfinite(heard).all()
    assert heard[:, MEL].abs().max() <= 1
    assert 0 <= heard[:, ONSET].min() <= heard[:, ONSET].max() <= 2
    assert (heard[:, MUSIC] == 1).all()
    length = heard[:, BEAT].norm(dim=-1)
    assert ((length - 1).abs().min(length) < 1e-5).all()


def test_a_batch_is_its_pieces_and_a_piece_is_always_heard_alike() -> None:
    waves = torch.from_numpy(np.stack([noise(2 * RATE, seed) for seed in range(3)]))
    together, again = HEAR(waves), HEAR(waves)
    assert torch.equal(together, again)
    for row, wave in zip(together, waves, strict=True):
        assert torch.allclose(row, HEAR(wave), atol=1e-5)
    assert not HEAR.state_dict()


@given(st.floats(0.5, 20))
@settings(max_examples=5, deadline=None)
def test_volume_does_not_matter(gain: float) -> None:
    wave = torch.from_numpy(noise(2 * RATE) * 0.05)
    heard, louder = HEAR(wave), HEAR(wave * gain)
    assert torch.allclose(heard[:, MEL], louder[:, MEL], atol=1e-2)
    assert torch.allclose(heard[:, ONSET], louder[:, ONSET], atol=2e-2)


def test_silence_has_neither_spectrum_onsets_nor_beats() -> None:
    heard = HEAR(torch.zeros(2 * RATE))
    assert (heard[:, MEL] == -1).all()
    assert not heard[:, ONSET].any()
    assert not heard[:, BEAT].any()
    assert not len(music.beats(np.zeros(2 * RATE, np.float32)))


def test_what_is_too_faint_to_be_heard_is_no_onset() -> None:
    wave, _ = drums(120, 3)
    faint = wave.copy()
    faint[RATE : RATE + 400] += 1e-3 * noise(400, 1)
    onsets = [music.onset(music.loudness(music.relative(HEAR.log_mel(torch.from_numpy(w))))) for w in (wave, faint)]
    assert (onsets[0] - onsets[1]).abs().max() < 0.02 * onsets[0].max()


@pytest.mark.parametrize("bpm", [70, 90, 100, 124, 140, 165, 190])
def test_beats_of_drums_are_found(bpm: float) -> None:
    wave, times = drums(bpm, 6)
    found = music.beats(wave)
    near = np.abs(times[:, None] - found).min(1)
    assert (near < 0.05).mean() > 0.9  # twice the tempo is no error here: on every beat there is one
    ratio = 60 / np.median(np.diff(found)) / bpm
    assert min(abs(ratio - r) for r in (1, 2)) < 0.03


def test_beats_of_the_embedded_music_are_found() -> None:
    rows = [r for r in pq.read_table(SAMPLE, columns=["audio", "beats"]).to_pylist() if r["audio"]]
    near = []
    for row in rows:
        found = music.beats(sound.decode(row["audio"]["bytes"], sound.Bounds()))
        near += list(np.abs(np.array(row["beats"])[:, None] - found).min(1))
    assert len(rows) == 12
    assert np.mean(np.array(near) < 0.07) > 0.8


def test_phase_is_zero_on_the_beat_and_goes_on_before_and_after() -> None:
    sine, cosine = music.phase(np.array([1.0, 1.5, 2.0, 2.6]), 120).T
    on = [0, 15, 30, 45, 60, 78, 93, 108]  # frames: at the median tempo up to 1.0, and from 2.6 on
    assert np.abs(sine[on]).max() < 1e-5
    assert np.abs(cosine[on] - 1).max() < 1e-5
    assert cosine[69] == pytest.approx(-1)
    assert not music.phase(np.array([1.0]), 10).any()
    assert np.abs(sine**2 + cosine**2 - 1).max() < 1e-6


def test_phase_of_drums_is_theirs() -> None:
    wave, times = drums(120, 5)
    sine, cosine = HEAR(torch.from_numpy(wave))[:, BEAT].numpy().T
    expected = 2 * np.pi * (np.arange(len(sine)) / FPS - times[0]) * 2
    assert np.mean(np.cos(np.arctan2(sine, cosine) - expected)) > 0.95
