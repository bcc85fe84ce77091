"""Tiny random-weight models and inputs of task=music_to_dance, in exactly the forms that real ones have."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from diffusers import DDPMScheduler

from pipeline import sound
from pipeline.conditions.music import widths
from pipeline.conditions.space import DanceSpace
from pipeline.models import checkpoint, motion
from pipeline.motion import representation
from pipeline.motion.skeleton import FPS, bone_lengths
from pipeline.music import CHANNELS
from pipeline.schema import HF_IMAGE
from pipeline.settings import Generate
from pipeline.train.tokenizer import learn
from tests import make
from tests.dancer import real

SECONDS = 2
STYLES = ("salsa", "modern", "pop")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("audio", HF_IMAGE),
        ("motion", pa.list_(pa.float32())),
        ("beats", pa.list_(pa.float32())),
        ("genre", pa.string()),
    ]
)


def space_folder(folder: Path, seed: int) -> Path:
    """A random space of music, text and motion, with checksums."""
    torch.manual_seed(seed)
    tokenizer = learn([f"a person dances {s}" for s in STYLES] * 2, 300, 8)
    DanceSpace(CHANNELS, len(tokenizer), context_length=8, dim=16, embed_dim=16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    checkpoint.write_checksums(folder)
    return folder


def generator_folder(folder: Path, space: Path) -> Path:
    """A random music-to-dance generator that knows real dances' features and bones."""
    torch.manual_seed(0)
    options = {"frames": 30, "patch": 3, "dim": 16, "layers": 1, "heads": 2}
    network = motion.build(widths(), {"tokens": 16, "pooled": 16}, options)
    poses = np.concatenate(list(real().values()))
    features = representation.encode(torch.from_numpy(poses))
    with torch.no_grad():
        network.transformer.mean.copy_(features.mean(0))
        network.transformer.std.copy_(features.std(0) + 1e-3)
        network.transformer.lengths.copy_(torch.from_numpy(bone_lengths(poses).mean(0)))
        network.transformer.refine.leave.weight.normal_(std=0.1)
    parts = {name: getattr(network, name) for name in ("transformer", "adapter", "fusion")}
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
    checkpoint.save_generator(folder, {**parts, "scheduler": scheduler}, {"space": space})
    return folder


def music(index: int, seconds: float) -> sound.Waveform:
    """Clicks, some faster than others."""
    time = np.arange(round(seconds * sound.RATE)) / sound.RATE
    return (np.sin(2 * np.pi * 440 * time) * (time % (0.4 + 0.05 * index) < 0.05)).astype(np.float32)


def rows(count: int) -> list[dict[str, Any]]:
    """Music of 1.2 s and of 3 s in turn, texts, real dances of two seconds, beats."""
    dances = list(real().values())
    return [
        {
            "id": f"dance-{i}",
            "text": f"a person dances {STYLES[i % 3]}",
            "audio": {"bytes": sound.encode_ogg(music(i, 3.0 if i % 2 else 1.2)), "path": None},
            "motion": dances[i % len(dances)].ravel(),
            "beats": np.arange(0.2, 3.0 if i % 2 else 1.2, 0.4 + 0.05 * i),
            "genre": STYLES[i % 3],
        }
        for i in range(count)
    ]


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    """Rows as a Parquet file."""
    pq.write_table(pa.Table.from_pylist(made, SCHEMA), path, row_group_size=4)
    return path


def models(root: Path) -> dict[str, str]:
    """Folders of a generator and a judge."""
    space = space_folder(root / "space", seed=0)
    return {"path": str(generator_folder(root / "dance", space)), "judge": str(space_folder(root / "judge", seed=1))}


def generate(folders: dict[str, str], source: str, output: str, *more: str) -> Generate:
    """The settings of a small run."""
    own = [] if any(key.startswith("task=") for key in more) else ["task=music_to_dance"]
    return make.generate(folders, source, output, *own, f"task.options.seconds={SECONDS}", *more)


def frames(index: int) -> int:
    """Frames of the dance to a row's music."""
    return SECONDS * FPS if index % 2 else round(1.2 * FPS)
