"""Models for runs that are broken on purpose (saboteur.py): slow enough to be struck, and noted where they work."""

import os
import time
from collections.abc import Mapping
from typing import Any

import ray
import torch
from torch import Tensor

from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.models.files import Files
from tests.saboteur import notes

PAIR_SECONDS = 240
SHARD_SECONDS = 1.0  # what a sampler sleeps for each batch: work that lasts, as a GPU's would, and takes no core


class Backend(SketchToImageBackend):
    """The project's own model, with a note of its process and of the node that it works on."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        super().__init__(files, device, dtype, options)
        self.node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "none"
        (notes() / "samplers" / str(os.getpid())).touch()

    def decode(self, x_0: Tensor) -> Tensor:
        """Pictures, slowly."""
        time.sleep(SHARD_SECONDS)
        (notes() / "worked" / self.node).touch()
        return super().decode(x_0)


class Pair(Backend):
    """As `Backend`, but it waits for a second one: alone, it would be done before that one has started."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        super().__init__(files, device, dtype, options)
        deadline = time.monotonic() + PAIR_SECONDS
        while len(list((notes() / "samplers").iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
