"""Pictures that a network takes in as they are: sketches, what is to be edited, masks. Each is one map of bytes; the
backend makes of it what its network wants, once per batch (diffusion/families).

Option of the task: `size`, pixels along a side (null: what the checkpoint was trained for).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from pipeline import storage
from pipeline.conditions import Condition, EncoderContext
from pipeline.media import Pixels, as_rgb, fit
from pipeline.settings import SettingsError


def side(folder: Path | str, options: Mapping[str, Any]) -> int:
    """Pixels along a side of the pictures of a checkpoint (folder or URI): the option `size`, or as it was trained."""
    if options.get("size"):
        return int(options["size"])
    for part in ("unet", "transformer"):
        if size := _config(folder, part).get("sample_size"):
            return int(size) * latent_scale(folder)
    raise SettingsError(f"{folder} does not say how large its pictures are; give task.options.size=")


def latent_scale(folder: Path | str) -> int:
    """Pixels along a side for each latent of the checkpoint's autoencoder."""
    config = _config(folder, "vae")
    levels = config.get("block_out_channels") or config["encoder_block_out_channels"]
    return int(2 ** (len(levels) - 1))


def _config(folder: Path | str, part: str) -> dict[str, Any]:
    uri = storage.join(str(folder), part, "config.json")
    return dict(storage.read_json(uri)) if storage.stat_or_none(uri) else {}


class Grey:
    """Grey pictures [H, W] -> Condition with one map [B, 1, S, S] of bytes; a missing one is white."""

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """Of the size of the checkpoint's pictures."""
        return cls(side(Path(context.folder), context.options))

    def __call__(self, values: Sequence[Pixels | None]) -> Condition:
        """Evidence of B pictures."""
        white = np.full((self.size, self.size), 255, np.uint8)
        pixels = [self.layers(white if value is None else fit(value, self.size)) for value in values]
        maps = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        nothing = torch.zeros(len(values), 1, 1)
        present = torch.tensor([value is not None for value in values])
        return Condition(nothing, nothing[:, 0].bool(), nothing[:, 0], (maps.contiguous(),), present)

    def layers(self, pixels: Pixels) -> Pixels:
        """A picture as [S, S, C]."""
        return pixels[:, :, None]


class Colour(Grey):
    """RGB pictures [H, W, 3], or grey ones -> Condition with one map [B, 3, S, S] of bytes; a missing one is white."""

    def layers(self, pixels: Pixels) -> Pixels:
        """A picture as [S, S, 3]."""
        return as_rgb(pixels)
