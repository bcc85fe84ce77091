import dataclasses
import io
import struct
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings

from pipeline import sound
from pipeline.media import MediaError
from pipeline.sound import RATE, Bounds

BOUNDS = Bounds()
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(wave: np.ndarray, rate: int = RATE, kind: tuple[str, str] = ("WAV", "PCM_16")) -> bytes:
    out = io.BytesIO()
    sf.write(out, wave, rate, format=kind[0], subtype=kind[1])
    return out.getvalue()


@pytest.mark.parametrize("kind", FORMATS, ids="-".join)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_every_format_is_heard_alike(kind: tuple[str, str], rate: int) -> None:
    wave = sound.decode(encoded(tone(1.0, rate), rate, kind), BOUNDS)
    assert wave.dtype == np.float32
    assert wave.shape == (RATE,)
    middle = slice(RATE // 8, -RATE // 8)  # codecs may ring at both ends
    assert np.sqrt(np.mean((wave - tone(1.0))[middle] ** 2)) < 0.01


@given(
    st.integers(1, 8),
    st.sampled_from([8_000, 11_025, 22_050, 44_100, 96_000, 192_000]),
    st.floats(0.1, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_length_and_range_do_not_depend_on_the_file(channels: int, rate: int, seconds: float) -> None:
    noise = np.random.default_rng(channels).uniform(-2, 2, (round(seconds * rate), channels))
    wave = sound.decode(encoded(noise, rate, ("WAV", "FLOAT")), dataclasses.replace(BOUNDS, least=0.05))
    assert abs(len(wave) - seconds * RATE) <= 2
    assert np.abs(wave).max() <= 1


def test_what_is_read_in_blocks_is_what_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(tone(2.0, 44_100), 44_100)
    whole = sound.decode(data, BOUNDS)
    monkeypatch.setattr(sound, "BLOCK", 1_000)
    assert np.abs(sound.decode(data, BOUNDS) - whole).max() < 1e-6


def test_channels_are_averaged() -> None:
    left, right = tone(0.5), tone(0.5, hertz=900)
    wave = sound.decode(encoded(np.stack([left, right], 1), kind=("WAV", "FLOAT")), BOUNDS)
    assert np.abs(wave - (left + right) / 2).max() < 1e-6


def test_silence_is_sound() -> None:
    assert not sound.decode(encoded(np.zeros(RATE)), BOUNDS).any()


def test_ogg_keeps_what_is_heard() -> None:
    wave = np.concatenate([tone(3.0), np.zeros(RATE, np.float32), tone(3.0, hertz=880)])
    again = sound.decode(sound.encode_ogg(wave), BOUNDS)
    assert again.shape == wave.shape
    assert np.sqrt(np.mean((again - wave) ** 2)) < 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(bad: float) -> None:
    wave = tone(1.0)
    wave[5_000] = bad
    with pytest.raises(MediaError, match="not finite"):
        sound.decode(encoded(wave, kind=("WAV", "FLOAT")), BOUNDS)


def test_many_channels_at_a_high_rate_take_the_memory_of_what_is_kept() -> None:
    data = encoded(np.zeros((192_000 * 3, 8), np.int16), 192_000)
    tracemalloc.start()
    assert sound.decode(data, BOUNDS).shape == (3 * RATE,)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data)  # as float32 it takes twice that


def test_a_file_of_hours_is_refused_before_it_is_decoded() -> None:
    data = encoded(np.zeros(4_000 * 4_000, np.int16), 4_000, ("FLAC", "PCM_16"))
    assert len(data) < 100_000
    with pytest.raises(MediaError, match=r"lasts 4,000 s; at most 3,600 s"):
        sound.decode(data, BOUNDS)


def test_long_pieces_are_cut_as_they_are_read() -> None:
    data = encoded(tone(3.0, 44_100), 44_100)
    cut = sound.decode(data, dataclasses.replace(BOUNDS, keep=1.0))
    assert len(cut) == RATE
    assert np.abs(cut - sound.decode(data, BOUNDS)[:RATE])[: -RATE // 10].max() < 1e-4


def test_a_wav_that_claims_hours_is_as_long_as_what_it_holds() -> None:
    data = bytearray(encoded(tone(1.0)))
    size = data.find(b"data") + 4
    data[size : size + 4] = struct.pack("<I", 0xFFFF_FF00)  # as programs that write to a pipe leave it
    assert sound.decode(bytes(data), BOUNDS).shape == (RATE,)


def patched(offset: int, value: bytes) -> bytes:
    data = bytearray(encoded(tone(1.0)))
    data[offset : offset + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "neither WAV, FLAC, Ogg nor MP3"),
        (b"once upon a time there was music\n" * 100, "neither WAV, FLAC, Ogg nor MP3"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither WAV, FLAC, Ogg nor MP3"),
        (b"RIFF" + bytes(100), "not readable audio"),
        (b"ID3" + bytes(100), "not readable audio"),
        (patched(22, b"\0\0"), "(?i)channel count is zero"),
        (patched(24, struct.pack("<I", 0)), "not readable audio"),
        (patched(24, struct.pack("<I", 1_000)), "1,000 samples a second; 4,000 to 384,000"),
        (encoded(np.zeros((2_000, 9), np.int16)), "9 channels; at most 8"),
        (encoded(tone(0.05)), r"lasts 0.05 s; at least 0.1 s"),
        (encoded(np.zeros(0)), r"lasts 0.00 s"),
    ],
)
def test_what_is_no_music_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message) as caught:
        sound.decode(data, BOUNDS)
    assert "\n" not in str(caught.value)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(MediaError, match=r"32,044 bytes; at most 1,000"):
        sound.decode(encoded(tone(1.0)), dataclasses.replace(BOUNDS, bytes=1_000))


@pytest.mark.parametrize("kind", [k for k in FORMATS if k[0] != "WAV"], ids="-".join)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.85])
def test_files_that_are_cut_off_are_refused(kind: tuple[str, str], share: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    data = encoded(noise, kind=kind)
    with pytest.raises(MediaError, match="cut off|not readable"):
        sound.decode(data[: int(len(data) * share)], BOUNDS)


@given(st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"]), st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_refused(start: bytes, data: bytes) -> None:
    with pytest.raises(MediaError):
        sound.decode(start + data, BOUNDS)


@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_damaged_files_are_heard_within_bounds_or_refused(
    kind: tuple[str, str], damage: list[tuple[float, int]]
) -> None:
    data = bytearray(encoded(tone(0.5), kind=kind))
    for place, byte in damage:
        data[int(place * (len(data) - 1))] = byte
    try:
        wave = sound.decode(bytes(data), dataclasses.replace(BOUNDS, keep=5.0))
    except MediaError:
        return
    assert 0 < len(wave) <= 5 * RATE + 1
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= 1
