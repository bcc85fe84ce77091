"""Steps of a training: the gradient of one or several batches, clipped, and what is done with it."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from pipeline.train import parallel
from pipeline.train.data import Batch, batch_count
from pipeline.train.schedule import learning_rate
from pipeline.train.settings import Optimiser
from pipeline.train.stage import Alternates, Stage
from pipeline.train.state import State


class Trainer:
    """A stage's network in training on this worker. `network` is that of `state` as parallel.py wraps it."""

    def __init__(self, stage: Stage, network: nn.Module, state: State, options: Optimiser, total: int) -> None:
        self.stage, self.network, self.state = stage, network, state
        self.alternating: Alternates | None = stage if isinstance(stage, Alternates) else None
        self.options, self.total = options, total
        self.device = state.parameters[0].device.type
        self.mixed = options.precision == "bfloat16"

    def step(self, batches: list[Batch], generator: torch.Generator) -> Tensor:
        """One step on the rows of some batches of one size; gives [2]: mean loss, length of the gradient."""
        for group in self.state.optimiser.param_groups:
            group["lr"] = self.rate
        losses, loss_of = [], self._loss()
        for index, batch in enumerate(batches, 1):
            with parallel.synchronised(self.network, last=index == len(batches)):
                with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
                    loss = loss_of(self.network, batch, generator) / len(batches)
                loss.backward()
            losses.append(loss.detach())
        norm = nn.utils.clip_grad_norm_(self.state.parameters, self.options.clip_norm)
        self.state.advance()
        return torch.stack([torch.stack(losses).sum(), parallel.whole(norm)])

    def _loss(self) -> Callable[..., Tensor]:
        """The loss of the next step; where children take turns, that of the one that alone has gradients then."""
        if self.alternating is None:
            return self.stage.loss
        turn, _ = self.turn
        for name, child in self.state.network.named_children():
            child.requires_grad_(name == turn)
        return functools.partial(self.alternating.loss, turn=turn)

    @property
    def turn(self) -> tuple[str, float]:
        """(the child of the network that learns in the next step, its share of the learning rate); ("", 1): all do."""
        turns = tuple(self.alternating.turns.items()) if self.alternating else (("", 1.0),)
        return turns[self.state.position.step % len(turns)]

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.turn[1] * learning_rate(self.options, self.state.position.step, self.total)


def epoch_steps(options: Optimiser, rows: int) -> int:
    """Steps of an epoch for workers with so many rows each."""
    return batch_count(rows, options.passes, options.batch_size, options.shuffle_rows) // options.accumulate


def grouped(batches: Iterable[Batch], count: int) -> Iterator[list[Batch]]:
    """The batches of each step; the last, smaller group is dropped."""
    iterator = iter(batches)
    while len(group := list(itertools.islice(iterator, count))) == count:
        yield group
