"""What is particular to one kind of training, and all that a new one has to say."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.media import Pixels
from pipeline.train.data import Batch, Places, Reader
from pipeline.train.settings import Train


class Stage(Protocol):
    """One kind of training: what a step is and what its loss is. The loop (loop.py) is the same for all."""

    network: nn.Module

    @staticmethod
    def reader(options: Mapping[str, Any]) -> Reader:
        """What is made of the input's rows before they become batches."""

    @classmethod
    def create(cls, settings: Train, device: str) -> Self:
        """The stage with a freshly initialised network, equal on every worker; all else that it needs on `device`."""

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean loss of one batch. `network` is `self.network`, wrapped for data parallelism."""

    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Figures on held-out rows, averaged over batches by the loop."""

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write the (averaged) network as a diffusers or open_clip folder."""


@runtime_checkable
class Checks(Protocol):
    """A stage whose settings are looked at before anything is started or written."""

    @staticmethod
    def check(settings: Train) -> None:
        """Raises SettingsError for what cannot be trained."""


@runtime_checkable
class Orders(Protocol):
    """A stage that says which rows are trained on in which order; without it all are, in any order."""

    def order(self, rows: Batch, rng: np.random.Generator) -> Places:
        """Places of some rows, as many as there are."""


@runtime_checkable
class Alternates(Protocol):
    """A stage whose network is made of children that learn in turn, one in each step: what all others do then is part
    of the loss, but they stand still."""

    turns: Mapping[str, float]  # names of these children in the order of their turns; share of the rate that each takes

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator, turn: str = ...) -> Tensor:
        """Mean loss of one batch, of the child whose turn it is; the network is called once."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a stage's network makes of some held-out rows at present."""

    figures: dict[str, float]  # scores, averaged over the rows
    picture: Pixels  # [H, W, 3] the results beside what they were made from, for a person to look at


@runtime_checkable
class Draws(Protocol):
    """A stage whose network can be asked for results, to be scored and looked at while it trains."""

    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:
        """One result for each row of a batch, from noise that is the same at every call; the network is called by
        its forward alone."""
