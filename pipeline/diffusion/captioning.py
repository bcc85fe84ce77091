"""A captioner as a backend: results are texts, drawn a token at a time; scheduler, steps and guidance have no say."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.conditions import Conditions
from pipeline.conditions.raw import Words
from pipeline.diffusion.sampler import Backend, Drawn, Guide
from pipeline.models.captioner import Captioner
from pipeline.models.files import Files


class Captioning(Backend):
    """Captions of the condition `image` (conditions/prepared.py), as bytes of UTF-8."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        self.captioner, self.words = Captioner(files, device, dtype, options), Words()
        self.scheduler_config = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}  # of no consequence

    def draw(
        self,
        conditions: Conditions,
        generators: Sequence[torch.Generator],
        scheduler: Any,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        guide: Guide,  # noqa: ARG002
    ) -> Drawn:
        """B texts, row b's randomness from generators[b] alone."""
        captions = self.captioner(conditions["image"].maps[0], generators)
        return Drawn(self.words(captions).tokens[..., 0], len(captions))
