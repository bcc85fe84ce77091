"""Music -> evidence for each frame of a dance, a summary of each second of it, and one of all.

What is heard in it is either the features of music.py or the hidden states of a frozen model (conditions/frozen.py),
as the model folder's model_index.json says in "music". Both have a last channel that is 1 where there is music.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.frozen import FrozenEncoder
from pipeline.motion.skeleton import FPS
from pipeline.music import CHANNELS, MusicFeatures
from pipeline.settings import SettingsError
from pipeline.sound import RATE, Bounds, Waveform

STEP = FPS  # frames that make one token


class Hearing(Protocol):
    """What is heard in a waveform [S]: [T, channels], T = `music.frames(S)`, the last channel 1."""

    channels: int

    def __call__(self, wave: Tensor) -> Tensor:
        """[S] -> [T, channels]."""


class MusicEncoder:
    """Waveforms -> Condition of the first `seconds` of each; shorter pieces are ended with zeros."""

    def __init__(self, hearing: Hearing, seconds: float, device: str = "cpu") -> None:
        self.hearing, self.seconds, self.device = hearing, seconds, device

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """Of the length that the task's options give, hearing what <model>/model_index.json names: "features" (the
        default), or the folder of a frozen model inside the model folder."""
        seconds, longest = context.options.get("seconds", 0), Bounds().keep
        if not 0 < seconds <= longest:
            raise SettingsError(f"task.options.seconds must be above 0 and at most {longest:g}, not {seconds}")
        index = json.loads((Path(context.folder) / "model_index.json").read_text("utf-8"))
        name = index.get("music", "features")
        if name == "features":
            return cls(MusicFeatures().to(context.device), seconds, context.device)
        return cls(FrozenEncoder.load(Path(context.folder) / name, context.device), seconds, context.device)

    def __call__(self, values: Sequence[Waveform | None]) -> Condition:
        """Evidence of B waveforms [S]; a missing one is encoded as no music and marked absent. Each is heard by itself,
        so that a row does not depend on the others."""
        frames = round(self.seconds * FPS)
        rows = torch.zeros(len(values), frames, self.hearing.channels)
        for row, wave in zip(rows, values, strict=True):
            if wave is not None:
                heard = self.hearing(torch.from_numpy(wave[: round(self.seconds * RATE)]).to(self.device))
                row[: len(heard)] = heard[:frames]
        return of_features(rows, torch.tensor([v is not None for v in values]))


def of_features(features: Tensor, present: Tensor | None = None) -> Condition:
    """Evidence of what is heard [B, T, C], zeros where there is no music; None: all are present.

    Tokens [B, ceil(T / STEP), 2 C] and pooled [B, 2 C] are its means and standard deviations over a second and over
    all music; the map is itself [B, C, T].
    """
    rows, length = features.shape[:2]
    seconds = F.pad(features, (0, 0, 0, -length % STEP)).unflatten(1, (-1, STEP))  # [B, L, STEP, C]
    return Condition(
        tokens=_moments(seconds),
        mask=seconds[..., -1].any(-1),
        pooled=_moments(features),
        maps=(features.transpose(1, 2).contiguous(),),
        present=torch.ones(rows, dtype=torch.bool, device=features.device) if present is None else present,
    )


def widths(channels: int = CHANNELS) -> dict[str, int]:
    """Sizes of its evidence: "channels" C of the map, "pooled" of the summary of all, and of each token."""
    return {"channels": channels, "pooled": 2 * channels}


def _moments(features: Tensor) -> Tensor:
    """Mean and standard deviation [..., 2 C] over the frames with music of [..., T, C]; zeros where there are none."""
    real = features[..., -1:]
    count = real.sum(-2).clamp(min=1)
    mean = (features * real).sum(-2) / count
    variance = ((features - mean[..., None, :]).square() * real).sum(-2) / count
    return torch.cat([mean, variance.sqrt()], -1)
