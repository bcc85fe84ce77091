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
from pipeline.settings import Evaluate, Generate
from pipeline.train.settings import Train

SETTINGS: dict[str, type[Any]] = {"train": Train, "generate": Generate, "evaluate": Evaluate}


def job(name: str, *arguments: str) -> str:
    """What jobs/<name>.py gives for these arguments; the line that would do the same is said."""
    print(shlex.join(["python", f"jobs/{name}.py", *arguments]), file=sys.stderr, flush=True)
    values: Any = OmegaConf.to_container(compose_config(name, arguments), resolve=True, throw_on_missing=True)
    if name == "generate":
        values = generate.reshape(values, typed(arguments))
    result = getattr(importlib.import_module(f"jobs.{name}"), name)(build(SETTINGS[name], values))
    return str(result)
