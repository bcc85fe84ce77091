"""Parquet rows of music, text and motion -> batches of sequences, for the stages that train on dances.

A row's motion and the features of its music become float32 bytes when it is read; augmentation (mirror, tempo, a window
at random) and motion features come with each batch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline import media
from pipeline.kinds import decode_audio, decode_motion
from pipeline.motion import representation
from pipeline.motion.skeleton import MIRRORED
from pipeline.music import CHANNELS, MusicFeatures
from pipeline.seeds import digest
from pipeline.train.data import Batch, Reader, whole
from pipeline.train.settings import Train

TEMPO = 0.2  # motion and music together up to so much faster or slower


@dataclasses.dataclass(frozen=True)
class Dances:
    """B dances with their music, cut or ended with zeros to T frames."""

    poses: Tensor  # [B, T, 22, 3] metres
    music: Tensor  # [B, T, CHANNELS]
    valid: Tensor  # [B, T] bool
    texts: list[str]  # one of each row's captions
    songs: Tensor  # [B] equal where two rows have the same music

    @property
    def features(self) -> Tensor:
        """[B, T, WIDTH] (motion/representation.py)."""
        return representation.encode(self.poses)


def reader(options: Mapping[str, Any]) -> Reader:  # noqa: ARG001
    """Reader of rows with motion, music (audio) and texts; those that cannot be read are left out."""
    return _read


def _read(table: pa.Table) -> pa.Table:
    torch.set_num_threads(1)
    hear = MusicFeatures()
    rows = [row for row in table.to_pylist() if row["motion"] is not None and row["music"] is not None]
    out: dict[str, list[Any]] = {"motion": [], "music": [], "texts": []}
    for row in rows:
        try:
            poses, wave = decode_motion(row["motion"]), decode_audio(row["music"])
        except media.MediaError:
            continue
        if poses is None or wave is None:
            continue
        heard = hear(torch.from_numpy(wave)).numpy()
        count = min(len(poses), len(heard))
        out["motion"].append(poses[:count].tobytes())
        out["music"].append(np.ascontiguousarray(heard[:count]).tobytes())
        out["texts"].append("\n".join(row["texts"] or []))
    types = {"motion": pa.binary(), "music": pa.binary(), "texts": pa.string()}
    return pa.table({name: pa.array(values, types[name]) for name, values in out.items()})


def arranged(batch: Batch, frames: int, generator: torch.Generator | None) -> Dances:
    """A batch as tensors, each row mirrored, faster or slower, and cut at random; without a generator, from its
    beginning and as it is, with its first caption."""
    poses, music, texts = [], [], []
    for motion, heard, captions in zip(batch["motion"], batch["music"], batch["texts"], strict=True):
        p = torch.frombuffer(bytearray(motion), dtype=torch.float32).view(-1, 22, 3)
        m = torch.frombuffer(bytearray(heard), dtype=torch.float32).view(-1, CHANNELS)
        said = captions.split("\n")
        start, chosen = 0, 0
        if generator is not None:
            u = torch.rand(5, generator=generator).tolist()
            if u[0] < 0.5:
                p = p[:, list(MIRRORED)] * p.new_tensor([-1, 1, 1])
            if u[1] < 0.5:
                p, m = (stretched(x, 1 + TEMPO * (2 * u[2] - 1)) for x in (p, m))
            start, chosen = int(u[3] * max(1, len(p) - frames + 1)), int(u[4] * len(said))
        poses.append(p[start : start + frames])
        music.append(m[start : start + frames])
        texts.append(said[chosen])
    valid = torch.stack([torch.arange(frames) < len(p) for p in poses])
    songs = torch.tensor([int.from_bytes(digest(bytes(heard), size=7)) for heard in batch["music"]])
    return Dances(_stacked(poses, frames), _stacked(music, frames), valid, texts, songs)


@dataclasses.dataclass(frozen=True)
class Moments:
    """What a training set says of motion features and of the dancer."""

    mean: Tensor  # [WIDTH]
    std: Tensor  # [WIDTH]
    lengths: Tensor  # [21] metres, the median of each bone


def moments(settings: Train) -> Moments:
    """Of the training rows and their mirror images."""
    values = whole(settings.input, settings.train_where, ("motion",))["motion"].to_pylist()
    dances = [torch.from_numpy(p) for v in values if (p := decode_motion(v)) is not None]
    both = [x for p in dances for x in (p, p[:, list(MIRRORED)] * p.new_tensor([-1, 1, 1]))]
    features = torch.cat([representation.encode(p) for p in both])
    lengths = torch.cat([representation.bone_lengths(p) for p in both]).median(0).values
    return Moments(features.mean(0), features.std(0).clamp_min(1e-3), lengths)


def stretched(frames: Tensor, factor: float) -> Tensor:
    """A sequence [T, ...] played `factor` times as fast, by linear interpolation."""
    count = max(2, round(len(frames) / factor))
    flat = frames.flatten(1).T[None]  # [1, C, T]
    return F.interpolate(flat, count, mode="linear", align_corners=True)[0].T.reshape(count, *frames.shape[1:])


def _stacked(rows: list[Tensor], frames: int) -> Tensor:
    """[B, frames, ...]; shorter rows repeat their last frame."""
    index = torch.arange(frames)
    return torch.stack([row[index.clamp_max(len(row) - 1)] for row in rows])
