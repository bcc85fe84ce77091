"""Notes of every step, as log/steps/<first step>.json: loss, length of the gradient, learning rate.

One file for what lies between two checkpoints: who goes on from a checkpoint writes the files behind it again.
"""

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from pipeline import storage
from pipeline.train import parallel

FOLDER = "log/steps"


class Notes:
    """What is noted of steps. It stays on the device until it is fetched: fetching makes the device wait."""

    def __init__(self, first: int, total: int) -> None:
        self.values: dict[str, Any] = {"first": first, "total": total, "loss": [], "gradient": [], "lr": []}
        self.waiting: list[Tensor] = []
        self.since = time.monotonic()

    def add(self, result: Tensor, rate: float) -> None:
        """Note a step's result, as `Trainer.step` gives it, and its learning rate."""
        self.waiting.append(result)
        self.values["lr"].append(rate)

    def fetch(self) -> list[float]:
        """Losses since the last call, means over the workers, all of which call it; `values` are complete then."""
        if not self.waiting:
            return []
        losses, norms = parallel.mean(torch.stack(self.waiting)).T.tolist()
        now = time.monotonic()
        self.values["seconds_per_step"] = (now - self.since) / len(self.waiting)
        self.values["loss"] += losses
        self.values["gradient"] += norms
        self.waiting, self.since = [], now
        return losses


class Writer:
    """Puts notes below an output, in a thread: a store's answer may take longer than a step."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.thread = ThreadPoolExecutor(1)
        self.last: Future[None] | None = None

    def put(self, notes: Notes, wait: bool = False) -> None:
        """Put them as they are now, unless the last put is under way and nobody wants to `wait`. Raises StorageError
        where the last one failed."""
        if self.last is not None and (wait or self.last.done()):
            self.last.result()
            self.last = None
        if self.last is None:
            uri = storage.join(self.output, FOLDER, f"{notes.values['first']:09d}.json")
            self.last = self.thread.submit(storage.put, uri, json.dumps(notes.values).encode())
            if wait:
                self.last.result()
