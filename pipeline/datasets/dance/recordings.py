"""Dances that were captured to music, as rows: what AIST++, FineDance and Motorica have in common.

The music is the dance's own; its beats are tracked (music.py). No song stands in two splits.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import music, progress, sound
from pipeline.build import build
from pipeline.datasets.dance.captions import captions
from pipeline.datasets.dance.reading import FormatError, content
from pipeline.datasets.dance.table import Cutting, Piece, clip, table
from pipeline.media import MediaError
from pipeline.motion.skeleton import FPS, Poses
from pipeline.seeds import digest
from pipeline.settings import Prepare

KEEP = sound.Bounds(bytes=2**30, seconds=7200, keep=1200)
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
HELD_OUT = ("test", "val")  # a tenth of the songs each, where a data set does not say which


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of these sources."""

    seconds: float  # of a clip
    hop: float  # from one clip to the next in the train split; elsewhere clips do not overlap


@dataclasses.dataclass(frozen=True)
class Recording:
    """One dance, not read yet."""

    name: str
    song: str
    genre: str
    words: str  # what its makers say of it; "" for nothing
    split: str
    motion: Path
    music: Path
    poses: Callable[[Path], Poses]  # reader of `motion`


def split_of(song: str) -> str:
    """The split of a song's dances, by its name's hash."""
    share = digest("song", song)[0] % 10
    return HELD_OUT[share] if share < len(HELD_OUT) else "train"


def audio(folder: Path, *names: str) -> Path | None:
    """The first of the named sound files, of any of SUFFIXES, that a folder has."""
    found = (folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def from_recordings(recordings: Sequence[Recording], settings: Prepare, licence: str) -> pa.Table:
    """The data set of some recordings."""
    options = build(Options, settings.source.options, "source.options")
    rows: list[dict[str, Any]] = []
    with progress.bar(settings.source.name, len(recordings)) as advance:
        for recording in recordings:
            rows += _clips(recording, options)
            advance(1, recording.name)
    return table(rows, [licence])


def _clips(recording: Recording, options: Options) -> Iterator[dict[str, Any]]:
    poses = recording.poses(recording.motion)
    try:
        wave = sound.decode(content(recording.music, KEEP.bytes), KEEP)
    except MediaError as error:
        raise FormatError(f"{recording.music} {error}") from error
    count = min(len(poses), len(wave) * FPS // sound.RATE)
    found = music.beats(wave)
    bpm = float(60 / np.median(np.diff(found))) if len(found) > 1 else None
    piece = Piece(wave, found, bpm, recording.song)
    cutting = Cutting(options.seconds, options.hop if recording.split == "train" else options.seconds)
    for number, (first, last) in enumerate(cutting.frames(count)):
        said = captions(poses[first:last], recording.genre, "", bpm, recording.words)
        yield clip(poses, piece, first, last) | {
            "id": f"{recording.name}_{number:03d}",
            "text": said[0],
            "texts": said,
            "genre": recording.genre,
            "trial": recording.name,
            "split": recording.split,
        }
