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
from pipeline.settings import RunError, SettingsError, Train, resolve
from pipeline.train import data, loop
from pipeline.train.data import Reader, rows

PRECISIONS = ("float32", "bfloat16")
DTYPES = ("float32", "float16", "bfloat16")
FIXED = ("stage", "input", "train_where", "val_where", "seed", "save_dtype")  # what one output has one of


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


def check(settings: Train) -> None:
    """Raises SettingsError for the first setting that cannot be used."""
    if settings.optimiser.precision not in PRECISIONS:
        raise SettingsError(f"optimiser.precision must be one of {', '.join(PRECISIONS)}")
    if settings.save_dtype not in DTYPES:
        raise SettingsError(f"save_dtype must be one of {', '.join(DTYPES)}")
    for group, key in (("workers", "count"), ("optimiser", "epochs"), ("optimiser", "batch_size")):
        if getattr(getattr(settings, group), key) < 1:
            raise SettingsError(f"{group}.{key} must be at least 1")


def _refuse_another(settings: Train) -> None:
    """Raises SettingsError if the output holds a training with other settings; more epochs are no others."""
    uri = storage.join(settings.output, "train.json")
    values = json.loads(json.dumps(dataclasses.asdict(settings)))
    if storage.put_new(uri, (json.dumps(values, indent=1) + "\n").encode()):
        return
    before = storage.read_json(uri)
    if differing := [k for k in FIXED if before[k] != values[k]]:
        raise SettingsError(
            f"{settings.output} holds a training with other settings ({', '.join(differing)}); "
            "choose another output=, or repeat its settings to go on with it"
        )


def fit(settings: Train) -> str:
    """Train, or go on with a training that was interrupted or should go further; returns the folder (or URI) of the
    trained model."""
    check(settings)
    reader: Reader = resolve(settings.stage.factory).reader(settings.stage.options)
    for condition in (settings.train_where, settings.val_where):
        data.check(settings.input, condition, reader)
    _refuse_another(settings)
    target, done = (storage.join(settings.output, name) for name in ("model", "done.json"))
    if storage.stat_or_none(done) and storage.read_json(done)["epochs"] >= settings.optimiser.epochs:
        return target
    with cluster.connected(settings.cluster), progress(settings.output, settings.optimiser.epochs):
        try:
            result = _trainer(settings, reader).fit()
        except (*cluster.faults(), ray.train.TrainingFailedError) as error:
            raise RunError(f"{cluster.cause(error)}; the same command goes on from the last checkpoint") from error
        with result.checkpoint.as_directory() as folder:
            checkpoint.publish(Path(folder) / "model", target)
    storage.put(done, json.dumps({"epochs": settings.optimiser.epochs}).encode())
    return target


def _trainer(settings: Train, reader: Reader) -> TorchTrainer:
    options, workers = settings.optimiser, settings.workers
    train = rows(settings.input, settings.train_where, reader).materialize()
    val = rows(settings.input, settings.val_where, reader).materialize()
    per_worker = train.count() // workers.count
    steps = options.epochs * options.passes * (per_worker // options.batch_size)
    if not steps:
        raise SettingsError(f"{per_worker} rows per worker do not fill one batch of {options.batch_size}")
    fs, path = storage.filesystem(settings.output)
    return TorchTrainer(
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
