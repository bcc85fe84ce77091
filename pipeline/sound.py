"""Encoded audio <-> waveforms, bounded. Bytes from outside are never trusted: headers are read before decoding.

A waveform is a float32 array [S], mono, in [-1, 1], at RATE samples a second. Files are read in blocks, mixed down and
resampled as they come, so that memory depends on what is kept and never on what a file says of itself.
"""

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from pipeline.media import MediaError

RATE = 16_000
Waveform = NDArray[np.float32]  # [S]

# How WAV, FLAC, Ogg (Vorbis, Opus) and MP3 begin; what begins otherwise is shown to no parser.
SIGNATURES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", *(bytes([0xFF, b]) for b in range(0xE2, 0x100)))
BLOCK = 65_536  # frames read at once


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a single piece may cost to decode."""

    bytes: int = 64 * 2**20
    seconds: float = 3_600.0  # two kB of FLAC can hold an hour of silence
    keep: float = 120.0  # longer pieces are cut as they are read: a shard holds all waveforms of its inputs
    least: float = 0.1  # seconds, below which nothing can be said of music
    channels: int = 8
    rates: tuple[int, int] = (4_000, 384_000)  # samples a second


def decode(data: bytes, bounds: Bounds) -> Waveform:
    """The first `bounds.keep` seconds of a piece. Raises MediaError: no audio, cut off, or out of bounds."""
    if len(data) > bounds.bytes:
        raise MediaError(f"has {len(data):,} bytes; at most {bounds.bytes:,} are read")
    if not data.startswith(SIGNATURES):
        raise MediaError("is not readable audio: neither WAV, FLAC, Ogg nor MP3")
    try:
        with sf.SoundFile(io.BytesIO(data)) as file:
            _check(file, bounds)
            wave = _read(file, bounds)
    except (sf.SoundFileError, ValueError) as error:
        raise error if isinstance(error, MediaError) else MediaError(f"is not readable audio: {error}") from error
    if data.startswith(b"OggS") and not _ends(data):
        raise MediaError("is not readable audio: the Ogg stream is cut off")
    if len(wave) < bounds.least * RATE:
        raise MediaError(f"lasts {len(wave) / RATE:.2f} s; at least {bounds.least:g} s are needed")
    return wave


def encode_ogg(wave: Waveform) -> bytes:
    """A waveform [S] as Ogg Vorbis, about 6 kB a second. Lossy, and of other bytes each time (its serial number)."""
    out = io.BytesIO()
    with sf.SoundFile(out, "w", RATE, channels=1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(wave), BLOCK):  # libsndfile 1.2 overflows its stack when given minutes at once
            file.write(wave[start : start + BLOCK])
    return out.getvalue()


def _check(file: sf.SoundFile, bounds: Bounds) -> None:
    """Raises MediaError if the header promises more than the bounds allow."""
    low, high = bounds.rates
    if not low <= file.samplerate <= high:
        raise MediaError(f"has {file.samplerate:,} samples a second; {low:,} to {high:,} are read")
    if file.channels > bounds.channels:
        raise MediaError(f"has {file.channels} channels; at most {bounds.channels} are read")
    if file.frames > bounds.seconds * file.samplerate:
        raise MediaError(f"lasts {file.frames / file.samplerate:,.0f} s; at most {bounds.seconds:,.0f} s are read")


def _read(file: sf.SoundFile, bounds: Bounds) -> Waveform:
    """Mono samples at RATE of an open file."""
    wanted = min(file.frames, int(bounds.keep * file.samplerate))
    stream = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32")
    parts, seen = [], 0
    for block in _mono_blocks(file, wanted):
        seen += len(block)
        parts.append(stream.resample_chunk(block))
    if seen < 0.9 * wanted:  # headers of MP3 may be off by a little
        raise MediaError(f"is cut off: {seen / file.samplerate:.1f} of {wanted / file.samplerate:.1f} s can be read")
    parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    wave: Waveform = np.concatenate(parts).clip(-1, 1)
    return wave


def _mono_blocks(file: sf.SoundFile, wanted: int) -> Iterator[Waveform]:
    """The first `wanted` frames, the mean of all channels, in blocks."""
    left = wanted
    while left > 0:
        block = file.read(min(BLOCK, left), dtype="float32", always_2d=True)
        if not len(block):
            return
        if not np.isfinite(block).all():
            raise MediaError("holds samples that are not finite numbers")
        left -= len(block)
        yield block.clip(-1, 1).mean(1, dtype=np.float32)


def _ends(data: bytes) -> bool:
    """Whether the last page of an Ogg stream is whole and says that it is the last (RFC 3533, section 6)."""
    page = data[data.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        return False
    body = 27 + page[26]
    return len(page) >= body + sum(page[27:body])
