"""Two processes with gloo that train together, without Ray: tests/test_train_parallel.py reads what they write.

python -m tests.two_workers RANK WORLD FOLDER
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from pipeline.models.discriminator import Pair
from pipeline.train import adversary, parallel
from pipeline.train.contrast import contrastive
from pipeline.train.data import Batch
from pipeline.train.notes import Notes
from pipeline.train.settings import Optimiser
from pipeline.train.stage import Alternates
from pipeline.train.state import State
from pipeline.train.steps import Trainer, grouped

OPTIONS = Optimiser(1, 1, 4, 1, 1e-2, "linear", 2, 1e-2, 0.9, 0.5, "float32", 4096)
STEPS = 6
ROWS = 8  # of a step, of all workers
WAYS = (("ddp", 1), ("ddp", 2), ("fsdp", 1), ("fsdp", 2))  # parallel, accumulate


class Small(nn.Module):
    """A network with a list of blocks, a buffer and dropout that is off."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(5, 7), nn.Linear(7, 1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(7, 7), nn.LayerNorm(7)) for _ in range(2))
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x) * self.scale
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.leave(x)


class Line:
    """A stage whose loss is a mean over rows."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = Small()

    def loss(self, network: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
        return F.mse_loss(network(batch["x"]), batch["x"].sum(1, keepdim=True))


class Pairs(Line):
    """A stage whose loss compares all rows with each other."""

    def loss(self, network: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
        one, two = (parallel.gathered(network(x)) for x in (batch["x"], batch["x"].flip(1)))
        return contrastive(-torch.cdist(one, 2 * two), torch.eye(len(one)))


class Duel:
    """A stage of two that learn in turn, the second through the first."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = Pair(Small(), Small())
        self.turns = {"discriminator": 1.0, "generator": 0.5}

    def loss(self, network: nn.Module, batch: Batch, _: torch.Generator, turn: str = "") -> torch.Tensor:
        x = batch["x"]

        def tell(generator: nn.Module, judge: nn.Module) -> torch.Tensor:
            with torch.no_grad():
                made = x + generator(x)
            real, false = judge(torch.cat([x, made])).chunk(2)
            return adversary.telling("logistic", real, false, false, torch.ones(len(x)))

        def fool(generator: nn.Module, judge: nn.Module) -> torch.Tensor:
            return adversary.fooling("logistic", judge(x + generator(x)))

        return network(tell if turn == "discriminator" else fool)


STAGES = {"": Line, "duel-": Duel}  # by the beginning of the names of their folders


def batches(rank: int, world: int, accumulate: int, first: int = 0) -> list[Batch]:
    """This worker's share of each step's rows, the same rows in all for any number of workers and batches."""
    made = []
    for index in range(first, STEPS):
        rows = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(index))
        made += [{"x": x} for x in rows.chunk(world)[rank].chunk(accumulate)]
    return made


def train(rank: int, world: int, how: str, accumulate: int, folder: Path, stage: Line | Duel) -> list[float]:
    """Losses of the steps, all from the beginning, or those behind a checkpoint in the folder; leaves one there."""
    network = parallel.distributed(stage.network, how, torch.device("cpu"), isinstance(stage, Alternates))
    options = dataclasses.replace(OPTIONS, accumulate=accumulate)
    state = State(stage.network, options)
    if (folder / "position.json").exists():
        state.load(folder)
    trainer = Trainer(stage, network, state, options, STEPS)  # type: ignore[arg-type]
    notes = Notes(0, STEPS)
    given = batches(rank, world, accumulate, state.position.step)
    for group in grouped(given, accumulate):
        notes.add(trainer.step(group, torch.Generator()), trainer.rate)
        if state.position.step == STEPS // 2:
            state.save(_made(folder / "half") if rank == 0 else None)
    losses = notes.fetch()
    state.save(_made(folder) if rank == 0 else None)
    return losses


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    return folder


def everything(rank: int, world: int, folder: Path) -> None:
    """Train in all ways, each from the beginning, and with FSDP from the checkpoint in folder/half."""
    for begin, stage in STAGES.items():
        places = {f"{begin}{how}{accumulate}": (how, accumulate) for how, accumulate in WAYS}
        for place, (how, accumulate) in {**places, f"{begin}half": ("fsdp", 1)}.items():
            losses = train(rank, world, how, accumulate, _made(folder / place), stage())
            if rank == 0:
                (folder / place / "losses.json").write_text(json.dumps(losses))
    for how in ("ddp", "fsdp"):
        losses = train(rank, world, how, 1, _made(folder / f"{how}-pairs"), Pairs())
        if rank == 0:
            (folder / f"{how}-pairs" / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    torch.set_num_threads(1)
    _rank, _world, _folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    _store = dist.FileStore(str(_folder / "store"), _world)
    dist.init_process_group("gloo", store=_store, rank=_rank, world_size=_world)
    everything(_rank, _world, _folder)
    dist.barrier()
    dist.destroy_process_group()
