"""Plug-ins of a run that break it from the inside, as bad rows and dying processes do (ordered by faults.py).

They are named on the command line like any user's own encoder, model family or score, and they leave notes for
the one who gives the orders in the folder that FAULTS_DIR names.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import torch
from torch import Tensor

from pipeline import storage
from pipeline.conditions import Condition
from pipeline.conditions.clip import TextEncoder
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.models.files import Files
from pipeline.scores import Sample

ARGUMENTS = [
    "task.encoders.text=tests.saboteur:Text",
    "task.backend=tests.saboteur:Backend",
    "+task.scores.mortal=tests.saboteur:mortal",
]
POISONS = {
    "raise": "ZeroDivisionError",
    "kill": "WorkerDied",
    "hang": "TimeLimit",
}  # text of a row -> kind of its error
PAIR_SECONDS = 240
SHARD_SECONDS = 1.0  # what a sampler sleeps for each batch: work that lasts, as a GPU's would, and takes no core


def notes() -> Path:
    """Where notes are left."""
    return Path(os.environ["FAULTS_DIR"])


def die() -> None:
    """As the out-of-memory killer ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


class Text(TextEncoder):
    """A text encoder that does what a text says."""

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of the texts, unless one of them is a poison."""
        if "raise" in values:
            raise ZeroDivisionError("by this text")
        if "kill" in values:
            die()
        if "hang" in values:
            time.sleep(3600)
        return super().__call__(values)


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


def mortal(sample: Sample) -> float:
    """A score of no meaning; its process, which puts the shard as well, dies in that put if so ordered."""
    for moment in ("during", "after"):
        with contextlib.suppress(FileNotFoundError):
            order = notes() / f"die-{moment}"
            delay = float(order.read_text("utf-8"))
            order.rename(order.with_suffix(f".taken-{os.getpid()}"))  # by one process only
            storage.put_new = _dying(storage.put_new, moment, delay)
    return float(sample.result.mean())


def _dying(put_new: Callable[[str, bytes], bool], moment: str, delay: float) -> Callable[[str, bytes], bool]:
    def put(uri: str, data: bytes) -> bool:
        if "/data/" not in uri:
            return put_new(uri, data)
        if moment == "during":
            threading.Timer(delay, die).start()
        put_new(uri, data)
        time.sleep(delay)
        die()
        return True

    return put
