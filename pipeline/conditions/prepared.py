"""Pictures as a model of transformers takes them in: resized and normalised by the image processor of its folder."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import AutoImageProcessor

from pipeline.conditions import Condition, EncoderContext
from pipeline.media import Pixels
from pipeline.settings import SettingsError

SHAPES = ((32, 48, 3), (48, 32, 3))  # of pictures that a processor must bring to one size


class Prepared:
    """RGB pictures [H, W, 3] of any size -> Condition with one map [B, 3, h, w]; a missing one is white."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        sizes = {tuple(self.ready(np.full(shape, 255, np.uint8)).shape) for shape in SHAPES}
        if len(sizes) != 1 or len(next(iter(sizes))) != 3:
            raise SettingsError("the model's image processor does not bring pictures to one size, [3, h, w]")

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """Of the model's folder. Raises SettingsError where it has no processor that can be used."""
        try:
            own = AutoImageProcessor.from_pretrained(context.folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{context.folder} has no image processor that can be loaded: {error}") from None
        return cls(own)

    def __call__(self, values: Sequence[Pixels | None]) -> Condition:
        """Evidence of B pictures."""
        white = np.full(SHAPES[0], 255, np.uint8)
        maps = torch.stack([self.ready(white if value is None else value) for value in values])
        nothing = torch.zeros(len(values), 1, 1)
        present = torch.tensor([value is not None for value in values])
        return Condition(nothing, nothing[:, 0].bool(), nothing[:, 0], (maps,), present)

    def ready(self, pixels: Pixels) -> Tensor:
        """[3, h, w] of one picture: alone, so that no other has a say."""
        own = np.array(pixels)  # blocks of Arrow are read-only, which torch is not
        made: Tensor = self.processor(own, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        return made.float().squeeze(0)
