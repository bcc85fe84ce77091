"""The training loop, once for all stages: DDP, autocast, gradient clipping, averaged weights, checkpoints.

One epoch lies between two checkpoints. A checkpoint holds weights, average, optimiser and position as
safetensors; after a worker's death, or when the same command is given again, training goes on from the last.
"""

import copy
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import ray.train
import ray.train.torch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.build import build
from pipeline.settings import Optimiser, Train, resolve
from pipeline.train.data import Batch, Reader, batches


class Stage(Protocol):
    """What is particular to one kind of training."""

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


class State:
    """Everything that a checkpoint holds."""

    def __init__(self, network: nn.Module, options: Optimiser) -> None:
        self.network = network
        # Buffers are copied, not averaged: the mean of an attention mask's infinities would be NaN.
        self.average = AveragedModel(network, multi_avg_fn=exponential_average(options.ema_decay))
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=options.weight_decay, fused=True
        )
        self.epoch = 0
        self.step = 0

    def save(self, folder: Path) -> None:
        """Write the state as safetensors and one JSON file; nothing in it is ever executed on loading."""
        save_file(_contiguous(self.network.state_dict()), folder / "network.safetensors")
        save_file(_contiguous(self.average.state_dict()), folder / "average.safetensors")
        moments = self.optimiser.state_dict()["state"]
        flat = {f"{i}.{name}": value for i, values in moments.items() for name, value in values.items()}
        save_file(_contiguous(flat), folder / "optimiser.safetensors")
        (folder / "position.json").write_text(json.dumps({"epoch": self.epoch, "step": self.step}))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        self.network.load_state_dict(load_file(folder / "network.safetensors"))
        self.average.load_state_dict(load_file(folder / "average.safetensors"))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in load_file(folder / "optimiser.safetensors").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        position = json.loads((folder / "position.json").read_text())
        self.epoch, self.step = position["epoch"], position["step"]


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().clone().contiguous() for k, v in tensors.items()}


def exponential_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Update of averaged weights: `decay`, but after n steps at most (1 + n) / (10 + n), or a short training would
    end with much of its first weights."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        n = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def learning_rate(options: Optimiser, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to zero at `total` steps."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    done = min(1.0, (step - options.warmup_steps) / max(1, total - options.warmup_steps))
    return options.lr * 0.5 * (1 + math.cos(math.pi * done))


def worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker runs; `config` is {"settings": …, "total_steps": …}."""
    settings, total = build(Train, config["settings"]), int(config["total_steps"])
    torch.set_num_threads(settings.workers.threads)
    torch.backends.cuda.enable_flash_sdp(settings.workers.gpu)  # on CPU its backward is several times slower
    context = ray.train.get_context()
    torch.manual_seed(settings.seed)
    device = ray.train.torch.get_device()
    stage: Stage = resolve(settings.stage.factory).create(settings, str(device))
    state = State(stage.network.to(device), settings.optimiser)
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            state.load(Path(folder))
    parallel = ray.train.torch.prepare_model(stage.network)
    for epoch in range(state.epoch, settings.optimiser.epochs):
        generator = torch.Generator().manual_seed(hash((settings.seed, epoch, context.get_world_rank())) % 2**63)
        began = time.monotonic()
        losses = list(_epoch(stage, parallel, state, settings, (epoch, total), generator))
        state.epoch = epoch + 1
        figures = {
            "epoch": state.epoch,
            "step": state.step,
            "loss": sum(losses) / max(1, len(losses)),
            "rows_per_second": len(losses) * settings.optimiser.batch_size / (time.monotonic() - began),
        }
        _report(stage, state, figures, main=context.get_world_rank() == 0, dtype=settings.save_dtype)


def _epoch(
    stage: Stage,
    parallel: nn.Module,
    state: State,
    settings: Train,
    position: tuple[int, int],
    generator: torch.Generator,
) -> Iterator[float]:
    """Train one epoch; position is (epoch, total steps); yields each step's loss."""
    options = settings.optimiser
    device = next(parallel.parameters()).device.type
    state.network.train()
    shard = ray.train.get_dataset_shard("train")
    for batch in batches(shard, options.batch_size, options.passes, settings.seed * 100_003 + position[0]):
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(options, state.step, position[1])
        with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = stage.loss(parallel, batch, generator)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), options.clip_norm)
        state.optimiser.step()
        state.average.update_parameters(state.network)
        state.step += 1
        yield loss.item()


def _report(stage: Stage, state: State, figures: dict[str, float], main: bool, dtype: str) -> None:
    """Validate and checkpoint on the main worker, the model in `dtype`; all workers meet here."""
    if not main:
        ray.train.report(figures)
        return
    averaged = state.average.module.eval()
    sums: dict[str, float] = {}
    count = 0
    for batch in ray.train.get_dataset_shard("val").iter_batches(batch_size=128, batch_format="numpy"):
        count += 1
        for name, value in stage.validate(averaged, batch).items():
            sums[name] = sums.get(name, 0.0) + value
    figures |= {name: value / count for name, value in sums.items()}
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder))
        stage.save(copy.deepcopy(averaged).to(getattr(torch, dtype)), Path(folder) / "model")
        ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(folder))
