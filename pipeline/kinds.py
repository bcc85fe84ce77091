"""Kinds of media that a role may have: how a cell of a table becomes a value, and how a person sees that value.

    text    str                             image   RGB pixels [H, W, 3]
    sketch  grey pixels [H, W]              audio   a waveform [S] (sound.py)
    motion  poses [T, 22, 3] (motion/)      times   seconds [N], ascending, e.g. of beats; scores alone look at them
    words   str that says nothing of the result, as a negative prompt; mask as a sketch, white where it may change

A new kind is one entry of KINDS; a task's encoders, judge and scores must know what to do with its values.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import media, sound, spectrogram
from pipeline.media import Bounds, MediaError, Pixels
from pipeline.motion import drawing, stored
from pipeline.motion.skeleton import Poses

BOUNDS, SOUND_BOUNDS = Bounds(), sound.Bounds()
TIMES = 100_000  # of a cell, at most


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of media."""

    decode: Callable[[Any], Any]  # of a cell; None where it holds nothing. Raises MediaError
    preview: Callable[[Any], Pixels] | None = None  # of a value, as a picture; None: it is no picture
    judged: bool = True  # whether the judge embeds it


def decode_text(value: Any) -> str | None:
    """Text of a cell."""
    return media.field_text(value, BOUNDS)


def decode_image(value: Any) -> Pixels | None:
    """RGB pixels of a cell."""
    data = media.field_bytes(value)
    return None if data is None else media.decode_image(data, BOUNDS)


def decode_sketch(value: Any) -> Pixels | None:
    """Grey pixels of a cell."""
    data = media.field_bytes(value)
    return None if data is None else media.decode_sketch(data, BOUNDS)


def decode_audio(value: Any) -> sound.Waveform | None:
    """Waveform of a cell."""
    data = media.field_bytes(value)
    return None if data is None else sound.decode(data, SOUND_BOUNDS)


def decode_motion(value: Any) -> Poses | None:
    """Poses of a cell."""
    return stored.decode(value)


def decode_times(value: Any) -> NDArray[np.float32] | None:
    """Seconds of a list of numbers, ascending."""
    if value is None or not len(value):
        return None
    if len(value) > TIMES:
        raise MediaError(f"holds {len(value):,} times; at most {TIMES:,} are read")
    times = np.asarray(value, np.float32)
    if not np.isfinite(times).all():
        raise MediaError("holds times that are no finite numbers")
    return np.sort(times)


KINDS: Mapping[str, Kind] = {
    "text": Kind(decode_text),
    "image": Kind(decode_image, media.as_rgb),
    "sketch": Kind(decode_sketch, media.as_rgb),
    "audio": Kind(decode_audio, spectrogram.picture),
    "motion": Kind(decode_motion, drawing.strip),
    "times": Kind(decode_times, judged=False),
    "words": Kind(decode_text, judged=False),
    "mask": Kind(decode_sketch, media.as_rgb, judged=False),
}


def judged(roles: Mapping[str, str]) -> tuple[str, ...]:
    """The roles whose values the judge embeds."""
    return tuple(role for role, kind in roles.items() if KINDS[kind].judged)
