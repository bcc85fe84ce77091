"""Where a training's figures go beside its own log: names in `log.to`.

A tracker says up to which step it knows the training, and is given what comes after, an epoch at a time. So nothing is
missing and nothing twice, however often the training was interrupted. One of your own: a class that is made of the
output's URI and the settings as a dictionary, named as log.to=[module:attribute].
"""

import dataclasses
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline import storage
from pipeline.seeds import digest
from pipeline.settings import SettingsError, resolve

OWN = re.compile(r"events\.out\.tfevents\.(\d{10})$")  # TensorBoard; others write beside it


@dataclasses.dataclass(frozen=True)
class Point:
    """Figures at one step."""

    step: int  # how many steps were done
    seconds: float  # since 1970
    values: Mapping[str, float]


class Tracker(Protocol):
    """Something that keeps figures."""

    step: int  # up to which it knows this training

    def log(self, points: Sequence[Point]) -> None:
        """Keep the figures of an epoch, points in the order of steps."""

    def close(self) -> None:
        """No more will come for now."""


class TensorBoard:
    """Event files at OUTPUT/tensorboard, one for each epoch: an object of a store cannot grow."""

    def __init__(self, output: str, settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.folder = storage.join(output, "tensorboard")
        own = (OWN.search(o.uri) for o in storage.list_objects(self.folder))
        self.step = max((int(found[1]) for found in own if found), default=0)

    def log(self, points: Sequence[Point]) -> None:
        """As an event file that is named by its last step."""
        from tensorboardX import SummaryWriter

        with tempfile.TemporaryDirectory() as folder:
            writer = SummaryWriter(folder, write_to_disk=True)
            for point in points:
                for name, value in point.values.items():
                    writer.add_scalar(name, value, point.step, point.seconds)
            writer.close()
            (file,) = Path(folder).iterdir()
            self.step = points[-1].step
            storage.put(storage.join(self.folder, f"events.out.tfevents.{self.step:010d}"), file.read_bytes())

    def close(self) -> None:
        """Each file is whole."""


class MLflow:
    """A run of MLflow with the output as its tag; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where."""

    def __init__(self, output: str, settings: Mapping[str, Any]) -> None:
        import mlflow

        self.client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "batch-diffusion")
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name)
        runs = self.client.search_runs([experiment], f"tags.output = '{output}'", max_results=1)
        self.run = (
            runs[0].info.run_id if runs else self.client.create_run(experiment, tags={"output": output}).info.run_id
        )
        if not runs:
            for key, value in settings.items():
                self.client.log_param(self.run, key, str(value)[:500])
        self.step = max((m.step for m in self.client.get_metric_history(self.run, "epoch/loss")), default=0)

    def log(self, points: Sequence[Point]) -> None:
        """In batches of what its servers take at once."""
        from mlflow.entities import Metric

        metrics = [Metric(n, v, int(1000 * p.seconds), p.step) for p in points for n, v in p.values.items()]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self.run, metrics[start : start + 1000])
        self.step = points[-1].step

    def close(self) -> None:
        """Say that it is over; a later call goes on with it all the same."""
        self.client.set_terminated(self.run)


class WandB:
    """A run of Weights & Biases with an id of the output; WANDB_PROJECT and WANDB_MODE as ever."""

    def __init__(self, output: str, settings: Mapping[str, Any]) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", "batch-diffusion")
        identity = digest("wandb", storage.canonical(output), size=8).hex()
        self.run = wandb.init(project=project, id=identity, resume="allow", config=dict(settings))
        self.step = self.run.step if self.run.resumed else 0

    def log(self, points: Sequence[Point]) -> None:
        """Step by step."""
        for point in points:
            self.run.log(dict(point.values), step=point.step)
        self.step = points[-1].step

    def close(self) -> None:
        """Send what is left."""
        self.run.finish()


Maker = Callable[[str, Mapping[str, Any]], Tracker]

TRACKERS: dict[str, tuple[str, Maker]] = {  # the package it needs, what it is
    "tensorboard": ("tensorboardX", TensorBoard),
    "mlflow": ("mlflow", MLflow),
    "wandb": ("wandb", WandB),
}


def maker(name: str) -> Maker:
    """What makes the tracker of a name. Raises SettingsError for one that is not known or not installed."""
    if ":" in name:
        return resolve(name)
    if name not in TRACKERS:
        raise SettingsError(f"log.to={name} is not known; there are {', '.join(TRACKERS)} and module:attribute")
    package, cls = TRACKERS[name]
    if importlib.util.find_spec(package) is None:
        raise SettingsError(f"log.to={name} needs the package {package}: pip install {package}")
    return cls
