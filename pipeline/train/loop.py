"""The training loop, once for all stages, as each Ray Train worker runs it.

An epoch is `passes` over the rows. At its end, and every `checkpoint_steps` within it, and when a machine's end is
announced (a spot instance is reclaimed), all is checkpointed; after a worker's or the whole job's death training goes
on from the last checkpoint. What happens after one follows from it alone (state.py), so that nothing changes by it.
"""

import copy
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from pipeline import memory
from pipeline.build import build
from pipeline.seeds import digest
from pipeline.settings import resolve
from pipeline.train import parallel, validation
from pipeline.train.data import Batch, at_random, batches, window
from pipeline.train.notes import Notes, Writer
from pipeline.train.settings import Train
from pipeline.train.stage import Alternates, Orders, Stage
from pipeline.train.state import State
from pipeline.train.steps import Trainer, epoch_steps, grouped


def worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker runs; `config` is {"settings": …, "rows": …}, a worker's in one pass."""
    settings = build(Train, config["settings"])
    torch.set_num_threads(settings.workers.threads)
    memory.keep()
    torch.backends.cuda.enable_flash_sdp(settings.workers.gpu)  # on CPU its backward is several times slower
    torch.manual_seed(settings.seed)
    run = Run(settings, int(config["rows"]))
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            run.state.load(Path(folder))
    while run.state.position.epoch < settings.optimiser.epochs:
        run.epoch()


class Run:
    """One worker's part in a training."""

    def __init__(self, settings: Train, rows: int) -> None:
        self.settings, self.rows = settings, rows
        self.epoch_steps = epoch_steps(settings.optimiser, rows)
        device = ray.train.torch.get_device()
        self.stage: Stage = resolve(settings.stage.factory).create(settings, str(device))
        self.rank = ray.train.get_context().get_world_rank()
        self.main = self.rank == 0
        self.saved = copy.deepcopy(self.stage.network).to(getattr(torch, settings.save_dtype)) if self.main else None
        network = self.stage.network.to(device)
        if settings.workers.compile:
            network.compile()
        wrapped = parallel.distributed(network, settings.workers.parallel, device, isinstance(self.stage, Alternates))
        self.state = State(network, settings.optimiser)
        total = self.epoch_steps * settings.optimiser.epochs
        self.trainer = Trainer(self.stage, wrapped, self.state, settings.optimiser, total)
        self.writer = Writer(settings.output)
        self.warned = False  # that this machine, or another worker's, will go

    def epoch(self) -> None:
        """Train the epoch from where the position says, look at held-out rows, and checkpoint."""
        position, options = self.state.position, self.settings.optimiser
        began, first = time.monotonic(), position.done
        groups = self._groups()
        while self._part(groups):
            if position.done < self.epoch_steps:
                self._checkpoint({"step": position.step})
        seconds = time.monotonic() - began
        rows = (position.done - first) * options.accumulate * options.batch_size * self.settings.workers.count
        loss = position.loss / max(1, position.done)
        position.epoch, position.done, position.loss = position.epoch + 1, 0, 0.0
        figures = {"epoch": position.epoch, "step": position.step, "loss": loss, "rows_per_second": rows / seconds}
        self._checkpoint(figures | self._validate())

    def _groups(self) -> Iterator[list[Batch]]:
        """The batches of each step of the epoch that is still to do."""
        position, options = self.state.position, self.settings.optimiser
        seed = self.settings.seed * 100_003 + position.epoch
        shard = ray.train.get_dataset_shard("train")
        chunk = window(self.rows, options.batch_size, options.shuffle_rows)
        order = self.stage.order if isinstance(self.stage, Orders) else at_random
        groups = grouped(batches(shard, options.batch_size, chunk, seed, order), options.accumulate)
        return itertools.islice(groups, position.done, None)

    def _part(self, groups: Iterator[list[Batch]]) -> bool:
        """Train until a checkpoint is due, or the groups are at an end: then it is false."""
        position, limit = self.state.position, self.settings.workers.checkpoint_steps
        generator = self._seeded()
        notes = Notes(position.step, self.trainer.total)
        due = None if limit is None else position.done - position.done % limit + limit
        for group in groups:
            rate = self.trainer.rate
            notes.add(self.trainer.step(group, generator), rate)
            if position.done == due:
                self._look(notes, wait=True)
                return True
            if len(notes.waiting) == self.settings.log.every:
                self._look(notes)
                if self._must_hurry():
                    return True
        self._look(notes, wait=True)
        return False

    def _seeded(self) -> torch.Generator:
        """All random numbers from here on follow from seed, step and worker."""
        seed = int.from_bytes(digest("train", self.settings.seed, self.state.position.step, self.rank, size=7))
        torch.manual_seed(seed)  # of all devices: dropout
        return torch.Generator().manual_seed(seed)

    def _look(self, notes: Notes, wait: bool = False) -> None:
        self.state.position.loss += sum(notes.fetch())
        if self.main and notes.values["loss"]:
            self.writer.put(notes, wait)

    def _must_hurry(self) -> bool:
        """Whether the end of a worker's machine has just been announced; all workers ask together."""
        warned, self.warned = self.warned, ray.train.get_preemption_info() is not None
        return self.warned and not warned

    def _validate(self) -> dict[str, float]:
        """Figures on held-out rows, if they are due. Every worker makes them: with FSDP they work together on each."""
        epoch, settings = self.state.position.epoch, self.settings
        if epoch % settings.validate.every and epoch < settings.optimiser.epochs:
            return {}
        with self.state.averaged() as network, torch.no_grad():
            found = validation.validate(self.stage, network, ray.train.get_dataset_shard("val"), settings)
        if self.main:
            validation.show(settings.output, epoch, found.picture)
        return found.figures

    def _checkpoint(self, figures: dict[str, float]) -> None:
        """Hand the state to Ray Train, at an epoch's end with the model as users load it; all workers meet here."""
        with tempfile.TemporaryDirectory() as name:
            average = self.state.save(Path(name) if self.main else None)
            if self.saved is None:
                ray.train.report(figures)
                return
            if "epoch" in figures:
                self.saved.load_state_dict(average)
                self.stage.save(self.saved, Path(name) / "model")
            ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(name))
