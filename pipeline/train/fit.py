"""A training run from its settings: data, workers, checkpoints, progress, and the model at the end."""

import contextlib
import dataclasses
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.train
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from pipeline import cluster, storage
from pipeline.models import checkpoint
from pipeline.settings import SettingsError, Train
from pipeline.train import loop
from pipeline.train.data import rows


class Log(UserCallback):
    """Puts the figures of each epoch beside the checkpoints: log/00012.json. Runs on Ray Train's controller."""

    def __init__(self, output: str) -> None:
        self.output = output

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002
        """Called when all workers have reported; the first of them is the one that validates."""
        name = f"{int(metrics[0]['epoch']):05d}.json"
        storage.put(storage.join(self.output, "log", name), json.dumps(metrics[0]).encode())


@contextlib.contextmanager
def progress(output: str, epochs: int) -> Iterator[None]:
    """One line per epoch on stderr, with the time that is left, while the block runs."""
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(output, epochs, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow(output: str, epochs: int, over: threading.Event) -> None:
    log = storage.join(output, "log")
    shown = {entry.uri for entry in storage.list_objects(log)}
    began, count, last = time.monotonic(), 0, False
    while not last:
        last = over.wait(2.0)
        for entry in storage.list_objects(log, ".json"):
            if entry.uri in shown:
                continue
            shown.add(entry.uri)
            count += 1
            figures = storage.read_json(entry.uri)
            left = (time.monotonic() - began) / count * (epochs - figures["epoch"])
            values = " ".join(f"{k}={v:.4g}" for k, v in figures.items() if k != "epoch")
            print(f"epoch {figures['epoch']}/{epochs} {values} left={left:.0f}s", file=sys.stderr, flush=True)


def fit(settings: Train) -> str:
    """Train, or go on with a training that was interrupted; returns the folder (or URI) of the trained model."""
    target = storage.join(settings.output, "model")
    if checkpoint.published(target):
        return target
    options, workers = settings.optimiser, settings.workers
    with cluster.connected(settings.cluster), progress(settings.output, options.epochs):
        size = int(settings.stage.options["image_size"])
        train = rows(settings.input, settings.train_where, size).materialize()
        val = rows(settings.input, settings.val_where, size).materialize()
        per_worker = train.count() // workers.count
        steps = options.epochs * options.passes * (per_worker // options.batch_size)
        if not steps:
            raise SettingsError(f"{per_worker} rows per worker do not fill one batch of {options.batch_size}")
        fs, path = storage.filesystem(settings.output)
        trainer = TorchTrainer(
            loop.worker,
            train_loop_config={"settings": dataclasses.asdict(settings), "total_steps": steps},
            scaling_config=ScalingConfig(num_workers=workers.count, use_gpu=workers.gpu),
            datasets={"train": train, "val": val},
            dataset_config=ray.train.DataConfig(datasets_to_split=["train"]),
            run_config=RunConfig(
                name="checkpoints",
                storage_path=path,
                storage_filesystem=PyFileSystem(FSSpecHandler(fs)),
                failure_config=FailureConfig(max_failures=workers.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=2),
                callbacks=[Log(settings.output)],
            ),
        )
        result = trainer.fit()
        with result.checkpoint.as_directory() as folder:
            checkpoint.publish(Path(folder) / "model", target)
    return target
