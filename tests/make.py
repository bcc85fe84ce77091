"""Settings as a command line would make them, over the tiny models and rows."""

import functools
from typing import Any

from omegaconf import OmegaConf

from jobs.cli import compose_config, typed
from jobs.generate import reshape
from pipeline.build import build
from pipeline.settings import Evaluate, Generate, Task


def arguments(models: dict[str, str], pairs: str, output: str, *more: str) -> list[str]:
    """Arguments of jobs/generate.py for a small run. Each sampler more would import torch once more, for seconds."""
    return [
        f"input.path={pairs}",
        f"model.path={models['path']}",
        f"model.judge={models['judge']}",
        f"output={output}",
        "steps=3",
        "batch_size=4",
        "shard_rows=4",
        "actors.samplers=1",
        *more,
    ]


def generate(models: dict[str, str], pairs: str, output: str, *more: str) -> Generate:
    """The settings of that run."""
    given = tuple(arguments({"path": "PATH", "judge": "JUDGE"}, "PAIRS", "OUTPUT", *more))
    places = {"PATH": models["path"], "JUDGE": models["judge"], "PAIRS": pairs, "OUTPUT": output}
    return build(Generate, reshape(_placed(_composed(given), places), typed(given)))


@functools.cache
def _composed(given: tuple[str, ...]) -> Any:
    """Hydra takes a good tenth of a second to compose a configuration; tests differ in places more than in settings."""
    return OmegaConf.to_container(compose_config("generate", given), resolve=True)


def task(name: str, *more: str) -> Task:
    """A task as conf/task/ has it."""
    return build(Task, _composed((f"task={name}", *more))["task"])


def _placed(values: Any, places: dict[str, str]) -> Any:
    """A copy with the places filled in."""
    if isinstance(values, dict):
        return {key: _placed(inner, places) for key, inner in values.items()}
    if isinstance(values, list):
        return [_placed(inner, places) for inner in values]
    return places.get(values, values) if isinstance(values, str) else values


def evaluate(run: str, *more: str) -> Evaluate:
    """The settings of jobs/evaluate.py for a run."""
    given = [f"run={run}", *more]
    return build(Evaluate, OmegaConf.to_container(compose_config("evaluate", given), resolve=True))
