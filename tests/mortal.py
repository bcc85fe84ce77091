"""A stage that takes its time, says which processes train it, and dies where a test wants it to."""

import os
import signal
import time
from pathlib import Path
from typing import Self

import ray.train
import torch
from torch import nn

from pipeline.train.alignment import Alignment
from pipeline.train.data import Batch
from pipeline.train.settings import Train

FACTORY = "stage.factory=tests.mortal:Mortal"


class Mortal(Alignment):
    """Alignment. MORTAL_SECONDS in the environment is how long each of its steps takes at least; a worker whose
    OUTPUT/die-<rank>-<calls> exists is killed at that call of its loss, once."""

    folder: Path
    calls = 0

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        stage = super().create(settings, device)
        stage.folder = Path(settings.output)
        (stage.folder / f"worker-{rank()}.pid").write_text(str(os.getpid()))
        return stage

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        time.sleep(float(os.environ.get("MORTAL_SECONDS", "0")))
        self.calls += 1
        mark = self.folder / f"die-{rank()}-{self.calls}"
        if mark.exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(network, batch, generator)


def rank() -> int:
    return ray.train.get_context().get_world_rank()
