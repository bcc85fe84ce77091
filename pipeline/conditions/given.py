"""Motion that is given and has to be kept: whole frames, or some joints of all frames (editing).

Not evidence for the network but a constraint on its estimates (diffusion/constraint.py). `hold` of the task's options
says what is kept: `frames`, a list of [first second, last second], and `joints`, a name of PARTS.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from pipeline.conditions import Condition, EncoderContext
from pipeline.motion import representation
from pipeline.motion.skeleton import FPS, Poses
from pipeline.settings import SettingsError

LEGS = (1, 2, 4, 5, 7, 8, 10, 11)
PARTS = {"all": tuple(range(22)), "legs": (0, *LEGS), "upper": tuple(j for j in range(1, 22) if j not in LEGS)}


class GivenMotion:
    """Motion -> Condition with two maps [B, WIDTH, T]: features, and 1 where they are to be kept."""

    def __init__(self, frames: int, hold: Mapping[str, Any]) -> None:
        if hold["joints"] not in PARTS:
            raise SettingsError(f"task.options.hold.joints={hold['joints']}: known are {', '.join(PARTS)}")
        self.frames, self.spans = frames, hold["frames"]
        self.channels = kept_channels(hold["joints"])

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """For dances of the task's length."""
        return cls(round(context.options["seconds"] * FPS), context.options["hold"])

    def __call__(self, values: Sequence[Poses | None]) -> Condition:
        """Evidence of B motions; what lies beyond a motion's end is free."""
        features = torch.zeros(len(values), representation.WIDTH, self.frames)
        mask = torch.zeros_like(features)
        for row, poses in enumerate(values):
            if poses is None:
                continue
            seen = representation.encode(torch.from_numpy(poses[: self.frames]))  # [T, WIDTH]
            features[row, :, : len(seen)] = seen.T
            kept = self.channels[:, None] & kept_frames(self.spans, len(seen))
            mask[row, :, : len(seen)] = kept.float()
        nothing = torch.zeros(len(values), 1, 1)
        present = torch.tensor([v is not None for v in values])
        return Condition(nothing, nothing[:, 0].bool(), nothing[:, 0], (features, mask), present)


def kept_frames(spans: Sequence[Sequence[float]] | None, frames: int) -> Tensor:
    """[T] whether a frame lies in one of the spans, seconds; None: all do. Negative seconds count from the motion's
    end."""
    if spans is None:
        return torch.ones(frames, dtype=torch.bool)
    index = torch.arange(frames) / FPS
    length = frames / FPS
    kept = torch.zeros(frames, dtype=torch.bool)
    for span in spans:
        first, last = (second + length if second < 0 else second for second in span)
        kept |= (index >= first) & (index < last)
    return kept


def kept_channels(part: str) -> Tensor:
    """[WIDTH] whether a feature belongs to the joints of a part; the way of the root goes with the legs."""
    kept = torch.zeros(representation.WIDTH, dtype=torch.bool)
    for joint in PARTS[part]:
        if joint:
            kept[1 + 3 * joint : 4 + 3 * joint] = True
    if 0 in PARTS[part]:
        kept[: representation.HEIGHT.stop] = True
        kept[representation.CONTACT] = True
    return kept
