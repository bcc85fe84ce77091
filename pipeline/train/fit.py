"""A training run from its settings: data, workers, checkpoints, progress, and the model at the end."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import ray
import ray.train
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.data import ExecutionOptions
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from pipeline import cluster, storage
from pipeline.models import checkpoint
from pipeline.settings import RunError, SettingsError, resolve
from pipeline.train import data, loop
from pipeline.train.data import Reader
from pipeline.train.follow import following
from pipeline.train.schedule import schedule
from pipeline.train.settings import Train, Workers, check
from pipeline.train.stage import Checks
from pipeline.train.steps import epoch_steps
from pipeline.train.trackers import maker

FIXED = ("stage", "input", "train_where", "val_where", "seed", "save_dtype")  # what one output has one of


class Log(UserCallback):
    """Puts the figures of each epoch beside the checkpoints: log/00012.json. Runs on Ray Train's controller."""

    def __init__(self, output: str) -> None:
        self.output = output

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002
        """Called when all workers have reported; the first of them is the one that validates."""
        if "epoch" not in metrics[0]:  # a checkpoint within an epoch
            return
        name = f"{int(metrics[0]['epoch']):05d}.json"
        figures = {**metrics[0], "seconds": time.time()}
        storage.put(storage.join(self.output, "log", name), json.dumps(figures).encode())


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
    schedule(settings.optimiser.schedule)
    makers = [maker(name) for name in settings.log.to]
    stage = resolve(settings.stage.factory)
    if isinstance(stage, Checks):
        stage.check(settings)
    reader: Reader = stage.reader(settings.stage.options)
    for condition in (settings.train_where, settings.val_where):
        data.check(settings.input, condition, reader)
    _refuse_another(settings)
    target, done = (storage.join(settings.output, name) for name in ("model", "done.json"))
    if storage.stat_or_none(done) and storage.read_json(done)["epochs"] >= settings.optimiser.epochs:
        return target
    kept = [make(settings.output, dataclasses.asdict(settings)) for make in makers]
    with cluster.connected(settings.cluster), following(settings.output, settings.optimiser.epochs, kept):
        try:
            result = _trainer(settings, reader).fit()
        except (*cluster.faults(), ray.train.TrainingFailedError) as error:
            raise RunError(f"{cluster.cause(error)}; the same command goes on from the last checkpoint") from error
        with result.checkpoint.as_directory() as folder:
            if not (Path(folder) / "model").exists():
                raise SettingsError(f"{settings.output} is in the middle of a later epoch; take more optimiser.epochs")
            checkpoint.publish(Path(folder) / "model", target)
    storage.put(done, json.dumps({"epochs": settings.optimiser.epochs}).encode())
    return target


def _trainer(settings: Train, reader: Reader) -> TorchTrainer:
    options, workers = settings.optimiser, settings.workers
    train = data.rows(settings.input, settings.train_where, reader, seed=settings.seed)
    val = data.rows(settings.input, settings.val_where, reader).materialize()
    if workers.cache:
        train = train.materialize()
    rows = train.count() if workers.cache else data.count(settings.input, settings.train_where)
    own = rows // workers.count
    if not epoch_steps(options, own):
        raise SettingsError(
            f"{own} rows per worker do not fill one step of {options.accumulate} x {options.batch_size}"
        )
    fs, path = storage.filesystem(settings.output)
    return TorchTrainer(
        loop.worker,
        train_loop_config={"settings": dataclasses.asdict(settings), "rows": own},
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=workers.gpu, resources_per_worker=reserved(workers)
        ),
        datasets={"train": data.passes(train, options.passes), "val": val},
        dataset_config=ray.train.DataConfig(
            datasets_to_split=["train"], execution_options=ExecutionOptions(preserve_order=True)
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=path,
            storage_filesystem=PyFileSystem(FSSpecHandler(fs)),
            failure_config=FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=[Log(settings.output)],
        ),
    )


def reserved(workers: Workers) -> dict[str, float] | None:
    """What each worker asks Ray for; None: one GPU, or one CPU. Workers on CPUs that read rows while they train leave a
    CPU for reading, or they would wait for each other forever. Raises SettingsError where there is but one."""
    if workers.gpu or workers.cache:
        return None
    free = ray.cluster_resources().get("CPU", 0.0) - 1
    if free <= 0:
        raise SettingsError("workers.cache=false reads rows while it trains, which takes two CPUs; take cache=true")
    return {"CPU": min(1.0, free / workers.count)}
