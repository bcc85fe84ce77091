"""The project's jobs, called as their command lines are, in one process and on one Ray: starting takes longer than
much of what is done here."""

import importlib
import shlex
import sys
from typing import Any

from omegaconf import OmegaConf

from jobs import generate
from jobs.cli import compose_config, typed
from pipeline.build import build
from pipeline.settings import Evaluate, Generate, Prepare
from pipeline.train.settings import Train

JOBS: dict[str, tuple[type[Any], str]] = {  # settings, and where the function of that name is
    "train": (Train, "jobs.train"),
    "generate": (Generate, "jobs.generate"),
    "evaluate": (Evaluate, "jobs.evaluate"),
    "prepare": (Prepare, "pipeline.datasets.prepare"),
}


def job(name: str, *arguments: str) -> str:
    """What jobs/<name>.py gives for these arguments; the line that would do the same is said."""
    print(shlex.join(["python", f"jobs/{name}.py", *arguments]), file=sys.stderr, flush=True)
    values: Any = OmegaConf.to_container(compose_config(name, arguments), resolve=True, throw_on_missing=True)
    if name == "generate":
        values = generate.reshape(values, typed(arguments))
    settings, module = JOBS[name]
    result = getattr(importlib.import_module(module), name)(build(settings, values))
    return str(result)
