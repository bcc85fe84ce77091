"""Settings as a command line would make them, over the tiny models and rows."""

from typing import Any, cast

from omegaconf import OmegaConf

from jobs.cli import compose_config, typed
from jobs.generate import reshape
from pipeline.build import build
from pipeline.settings import Evaluate, Generate


def arguments(models: dict[str, str], pairs: str, output: str, *more: str) -> list[str]:
    """Arguments of jobs/generate.py for a small run."""
    return [
        f"input.path={pairs}",
        f"model.path={models['path']}",
        f"model.judge={models['judge']}",
        f"output={output}",
        "steps=3",
        "batch_size=4",
        "shard_rows=4",
        *more,
    ]


def generate(models: dict[str, str], pairs: str, output: str, *more: str) -> Generate:
    """The settings of that run."""
    given = arguments(models, pairs, output, *more)
    values = cast("dict[str, Any]", OmegaConf.to_container(compose_config("generate", given), resolve=True))
    return build(Generate, reshape(values, typed(given)))


def evaluate(run: str, *more: str) -> Evaluate:
    """The settings of jobs/evaluate.py for a run."""
    given = [f"run={run}", *more]
    return build(Evaluate, OmegaConf.to_container(compose_config("evaluate", given), resolve=True))
