"""Every setting of jobs/train.py as frozen dataclasses; what can be wrong with them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.settings import Cluster, Input, SettingsError

CHOICES = {
    "optimiser.precision": ("float32", "bfloat16"),
    "save_dtype": ("float32", "float16", "bfloat16"),
    "workers.parallel": ("ddp", "fsdp"),
}
COUNTS = (
    "optimiser.epochs",
    "optimiser.passes",
    "optimiser.batch_size",
    "optimiser.accumulate",
    "optimiser.shuffle_rows",
    "workers.count",
    "validate.every",
    "validate.steps",
    "log.every",
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is trained."""

    name: str
    factory: str  # "module:attribute" of a train.stage.Stage
    options: Mapping[str, Any]  # of that stage; its module says which


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """How it is trained, with AdamW. A step takes batch_size * accumulate rows of every worker."""

    epochs: int
    passes: int  # times the rows are read in one epoch: an epoch is what lies between two validations
    batch_size: int  # rows per worker that go through the network at once
    accumulate: int  # such batches per step
    lr: float
    schedule: str  # after warm-up: a name in schedule.py, or "module:attribute" of a function like those
    warmup_steps: int
    weight_decay: float
    ema_decay: float  # of the average of the weights, which is what is saved
    clip_norm: float
    precision: str  # "float32" | "bfloat16": autocast
    shuffle_rows: int  # decoded rows that a worker holds at once and draws its batches from


@dataclasses.dataclass(frozen=True)
class Workers:
    """Ray Train's workers."""

    count: int
    gpu: bool
    threads: int  # torch threads of each worker on CPU
    parallel: str  # "ddp": every worker holds the whole network | "fsdp": a share of it (FSDP2)
    compile: bool  # torch.compile
    cache: bool  # rows are decoded once and kept in the object store; false: again in every pass
    checkpoint_steps: int | None  # also checkpoint every so many steps within an epoch; None: at its end alone
    max_failures: int  # worker deaths that are survived by going back to the last checkpoint


@dataclasses.dataclass(frozen=True)
class Validate:
    """What is looked at on held-out rows, and when."""

    every: int  # epochs; the last one always
    samples: int  # results drawn for the first held-out rows, by stages that draw; 0: none
    steps: int  # of the sampling loop


@dataclasses.dataclass(frozen=True)
class Log:
    """What is noted of a training, and where to."""

    every: int  # steps between two looks at the losses; each look makes the device wait
    to: tuple[str, ...]  # names in trackers.py, or "module:attribute" of a Tracker


@dataclasses.dataclass(frozen=True)
class Train:
    """One run of jobs/train.py."""

    stage: Stage
    input: Input
    train_where: str | None
    val_where: str | None
    seed: int
    output: str
    save_dtype: str  # of the model's weights; training itself keeps float32
    optimiser: Optimiser
    workers: Workers
    validate: Validate
    log: Log
    cluster: Cluster


def check(settings: Train) -> None:
    """Raises SettingsError for the first setting that cannot be used."""
    for key, known in CHOICES.items():
        if _value(settings, key) not in known:
            raise SettingsError(f"{key} must be one of {', '.join(known)}")
    for key in COUNTS:
        if _value(settings, key) < 1:
            raise SettingsError(f"{key} must be at least 1")
    steps = settings.workers.checkpoint_steps
    if steps is not None and steps < 1:
        raise SettingsError("workers.checkpoint_steps must be at least 1, or null")


def _value(settings: Train, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value
