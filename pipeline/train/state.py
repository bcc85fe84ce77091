"""Everything that a checkpoint holds: weights, their average, optimiser and position.

Tensors are stored whole and by name, whatever the number of workers and however they share the network, so that
training goes on from a checkpoint in another way than it began.

Random numbers need no storing: all generators are seeded anew at each checkpoint from seed, step and worker
(loop.py), in a training that is interrupted there as in one that is not. Nor does the order of the rows: it
follows from seed and epoch, and `done` says how many of the epoch's steps lie behind.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from pipeline.train.settings import Optimiser

GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True)  # of several workers, the first has it
SPREAD = StateDictOptions(full_state_dict=True)


@dataclasses.dataclass
class Position:
    """How far a training is."""

    epoch: int = 0  # whole epochs
    done: int = 0  # steps of the next one
    step: int = 0  # of all epochs
    loss: float = 0.0  # summed over the `done` steps


class State:
    """A network in training; its parameters may be shares of themselves (parallel.py)."""

    def __init__(self, network: nn.Module, options: Optimiser) -> None:
        self.network, self.decay = network, options.ema_decay
        self.parameters: list[Tensor] = list(network.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=options.lr, betas=(0.9, 0.99), weight_decay=options.weight_decay, fused=True
        )
        self.position = Position()

    def advance(self) -> None:
        """One step by the gradients that are there."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        share = 1 - averaging(self.decay, self.position.step)
        with torch.no_grad():  # of buffers there is no average: that of a mask's infinities would be NaN
            torch._foreach_lerp_(self.average, self.parameters, share)
        self.position.step += 1
        self.position.done += 1

    @contextlib.contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network itself, with its averaged weights while the block runs."""
        self._swap()
        training = self.network.training
        try:
            yield self.network.eval()
        finally:
            self.network.train(training)
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for weights, average in zip(self.parameters, self.average, strict=True):
            kept = weights.clone()
            weights.copy_(average)
            average.copy_(kept)

    def save(self, folder: Path | None) -> dict[str, Tensor]:
        """Write the state as safetensors and one JSON file: nothing in it is ever executed on loading. Returns the
        averaged weights. All workers call it; only the one that is first has a folder, and the weights."""
        network = _contiguous(get_model_state_dict(self.network, options=GATHERED))
        with self.averaged():
            average = _contiguous(get_model_state_dict(self.network, options=GATHERED))
        moments: dict[str, Any] = get_optimizer_state_dict(self.network, self.optimiser, options=GATHERED)
        if folder is not None:
            save_file(network, folder / "network.safetensors")
            save_file(average, folder / "average.safetensors")
            flat = {f"{of}/{name}": v for of, values in moments["state"].items() for name, v in values.items()}
            save_file(_contiguous(flat), folder / "optimiser.safetensors")
            (folder / "position.json").write_text(json.dumps(dataclasses.asdict(self.position)))
        return average

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; all workers call it."""
        set_model_state_dict(self.network, load_file(folder / "average.safetensors"), options=SPREAD)
        self._swap()
        set_model_state_dict(self.network, load_file(folder / "network.safetensors"), options=SPREAD)
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in load_file(folder / "optimiser.safetensors").items():
            of, name = key.split("/")
            moments.setdefault(of, {})[name] = value
        known: dict[str, Any] = get_optimizer_state_dict(self.network, self.optimiser)
        for name, values in known["state"].items():  # what has not had its turn yet has no moments
            moments.setdefault(name, {key: torch.zeros(v.shape, dtype=v.dtype) for key, v in values.items()})
        given = {"state": moments, "param_groups": known["param_groups"]}
        set_optimizer_state_dict(self.network, self.optimiser, given, options=SPREAD)
        self.position = Position(**json.loads((folder / "position.json").read_text()))


def averaging(limit: float, step: int) -> float:
    """Share of the averaged weights that step `step` leaves: none of the first, and `limit` at most, but only
    (1 + n) / (10 + n) after n steps, or a short training would end with much of its first weights."""
    return min(limit, (1 + step) / (10 + step)) if step else 0.0


def _contiguous(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {k: v.detach().clone().contiguous() for k, v in tensors.items()}
