"""The table of every data set of dances: one row is one clip, its music, its captions and its motion."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline import sound
from pipeline.datasets.dance.rendering import ogg
from pipeline.motion.beats import Beats
from pipeline.motion.skeleton import FPS, JOINTS, PARENTS, Poses
from pipeline.schema import HF_IMAGE, huggingface_metadata

SHORTEST = 3.0  # seconds of a clip
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),  # the first of the captions
        pa.field("texts", pa.list_(pa.string())),
        pa.field("genre", pa.string()),
        pa.field("trial", pa.string()),  # the dance that the clip is cut from
        pa.field("split", pa.string()),
        pa.field("start", pa.float32()),  # seconds from the beginning of that dance
        pa.field("tune", pa.string()),  # what is played; null where the music is the dance's own
        pa.field("bpm", pa.float32()),
        pa.field("beats", pa.list_(pa.float32())),  # seconds from the beginning of the clip
        pa.field("audio", HF_IMAGE),
        pa.field("motion", pa.list_(pa.float32())),  # T x 22 x 3 metres, Y up, floor at 0
        pa.field("n_frames", pa.int32()),
        pa.field("n_joints", pa.int32()),
        pa.field("fps", pa.float32()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Music as long as a dance."""

    wave: sound.Waveform
    beats: Beats  # seconds
    bpm: float | None
    tune: str | None


@dataclasses.dataclass(frozen=True)
class Cutting:
    """Where a dance is cut into clips."""

    seconds: float  # of a clip
    hop: float  # seconds from one to the next

    def frames(self, total: int) -> Iterator[tuple[int, int]]:
        """(first, last + 1) of each clip of a dance of `total` frames: whole ones, or the one there is if it lasts
        SHORTEST."""
        length, hop = round(self.seconds * FPS), round(self.hop * FPS)
        if total < length:
            yield from [(0, total)] if total >= SHORTEST * FPS else []
        for first in range(0, total - length + 1, hop):
            yield first, first + length


def clip(poses: Poses, piece: Piece, first: int, last: int) -> dict[str, Any]:
    """The columns of a clip that follow from where it is cut; it begins above the origin."""
    moved = poses[first:last] - poses[first, 0] * (1, 0, 1)
    start, end = first / FPS, last / FPS
    wave = piece.wave[round(start * sound.RATE) : round(end * sound.RATE)]
    inside = piece.beats[(piece.beats >= start) & (piece.beats < end)] - start
    return {
        "start": start,
        "tune": piece.tune,
        "bpm": piece.bpm,
        "beats": inside.tolist(),
        "audio": {"bytes": ogg(wave), "path": None},
        "motion": moved.astype("float32").ravel(),
        "n_frames": last - first,
        "n_joints": len(JOINTS),
        "fps": float(FPS),
    }


def table(rows: Sequence[dict[str, Any]], licence: Sequence[str]) -> pa.Table:
    """Rows as SCHEMA."""
    return pa.Table.from_pylist(list(rows), declared(SCHEMA, licence))


def declared(schema: pa.Schema, licence: Sequence[str]) -> pa.Schema:
    """The schema, which says what its joints are and whose its media; Hugging Face reads its audio."""
    said: dict[str, Sequence[object]] = {"joints": JOINTS, "parents": PARENTS} if "motion" in schema.names else {}
    said["licence"] = licence
    media = huggingface_metadata(list(schema), sounds=["audio"])
    return schema.with_metadata({name: json.dumps(value) for name, value in said.items()} | media)
