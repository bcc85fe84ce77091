"""Command lines of all jobs: conf/<job>.yaml and its groups, overridden by key=value, as one settings object.

The only importer of Hydra. Every mistake is answered by one or two plain lines and a non-zero exit code.
"""

import dataclasses
import difflib
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.build import build
from pipeline.conf import CONF, names
from pipeline.patience import StorageError
from pipeline.settings import RunError, SettingsError

FREE = ("sweep.", "task.options.arguments", "task.options.inputs")  # groups whose keys are free
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What a person typed, for messages that repeat it."""

    job: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(["python", f"jobs/{self.job}.py", *self.arguments])


Reshape = Callable[[dict[str, Any], Sequence[str]], dict[str, Any]]  # (configuration, keys that were typed) -> same


def main(job: str, cls: type[T], run: Callable[[T], object], reshape: Reshape = lambda values, _: values) -> None:
    """Compose the settings of a job from the process's arguments, run it, print what it returns, exit.

    `reshape` turns the form in which people write keys into that of `cls`.
    """
    arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, _interrupt)
    if {"-h", "--help"} & set(arguments):
        print(usage(job))
        return
    try:
        config = compose_config(job, [a for a in arguments if a not in ("--cfg", "job")])
        if "--cfg" in arguments:
            print(OmegaConf.to_yaml(config, resolve=True), end="")
            return
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        result = run(build(cls, reshape(cast("dict[str, Any]", values), typed(arguments))))
    except (SettingsError, StorageError, RunError) as error:
        sys.exit(f"{job}: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"{job}: {explain(job, error)}")
    except KeyboardInterrupt:
        sys.exit(f"\n{job}: stopped; the same command goes on: {CommandLine(job, tuple(arguments))}")
    if result is not None:
        print(result)


def _interrupt(*_: object) -> None:
    """A polite kill ends as Ctrl-C does: shards in flight are abandoned, finished ones stay."""
    raise KeyboardInterrupt


def output_root() -> str:
    """The folder from which relative outputs count: here, but under `ray job submit`, whose working directory is
    temporary, PIPELINE_OUTPUT_ROOT."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        return "."
    return os.environ.get("PIPELINE_OUTPUT_ROOT") or str(Path.home() / "batch-diffusion")


def compose_config(job: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a job. Raises Hydra's and OmegaConf's errors."""
    quoted = [as_text(o) for o in overrides]
    added = [f"++{o}" if o.startswith(FREE) else o for o in quoted]
    with initialize_config_dir(str(CONF), version_base=None):
        return compose(job, overrides=added)


def as_text(argument: str) -> str:
    """key=a == 'b', as a shell hands it over, with its value quoted; what Hydra reads as it is stays so. A comma
    outside brackets, of which Hydra would make a sweep of its own, is text."""
    key, equals, value = argument.partition("=")
    try:
        [read] = OverridesParser.create().parse_overrides([argument])
        plain = not read.is_sweep_override()
    except OverrideParseException:
        plain = False
    if plain or not equals or value.startswith(("[", "{", "'", '"')):
        return argument
    escaped = value.replace('"', '\\"')
    return f'{key}="{escaped}"'


def usage(job: str) -> str:
    """conf/<job>.yaml itself, which explains every key, and the choices of its groups."""
    text = (CONF / f"{job}.yaml").read_text("utf-8")
    choices = [f"  {g}=" + "|".join(names(g)) for g, _ in _groups(text)]
    return text + ("\nGroups (conf/<group>/<choice>.yaml):\n" + "\n".join(choices) if choices else "") + _defaults(text)


def _defaults(text: str) -> str:
    """The files of the groups' default choices, which hold keys of their own."""
    chosen = {group: name for group, name in _groups(text) if name != "???"}
    chosen = {group: chosen.get(name.strip("${}"), name) for group, name in chosen.items()}  # ${task}: as task= is
    files = [
        f"\n# {group}={name}\n{(CONF / group / name).with_suffix('.yaml').read_text('utf-8')}"
        for group, name in chosen.items()
    ]
    return "\n" + "".join(files).replace("# @package _global_\n", "") if files else ""


def _groups(text: str) -> list[tuple[str, str]]:
    """(group, choice) of a job's defaults list."""
    found: list[tuple[str, str]] = re.findall(r"^  - (?:optional )?(\w+): (\S+)", text, re.MULTILINE)
    return found


def explain(job: str, error: Exception) -> str:
    """One of Hydra's errors in plain words."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"cannot read the argument {error.override!r}; write key=value, and quote spaces twice: 'key=\"a b\"'"
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1]
        near = difflib.get_close_matches(key, known_keys(job), n=1)
        hint = f"did you mean {near[0]}?" if near else f"python jobs/{job}.py --help lists all keys"
        return f"unknown key {key}; {hint}"
    if match := re.search(r"Could not find '([^/']+)/([^']+)'", text):
        return f"unknown {match[1]}={match[2]}; known: {', '.join(names(match[1]))}"
    if match := re.search(r"You must specify '([^']+)'|Missing mandatory value: (\S+)", text):
        whole = re.search(r"full_key: (\S+)", text)
        key = whole[1] if whole else match[1] or match[2]
        return f"{key}= must be given; python jobs/{job}.py --help explains it"
    return " ".join(text.split("\n", maxsplit=1)[0].split())


def known_keys(job: str) -> list[str]:
    """Dotted names of all keys of a job with its default groups."""
    config = OmegaConf.to_container(compose_config(job, required(job)), resolve=False)
    return list(_flatten(config))


def required(job: str) -> list[str]:
    """Overrides that pick some choice for groups without a default, so that the rest can be listed."""
    text = (CONF / f"{job}.yaml").read_text("utf-8")
    return [f"{g}={names(g)[0]}" for g in re.findall(r"- (\w+): \?\?\?", text)]


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    out: dict[str, Any] = {}
    for key, inner in value.items():
        out |= _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return out


def typed(arguments: Sequence[str]) -> list[str]:
    """Keys that a person set."""
    return [o.key_or_group for o in OverridesParser.create().parse_overrides([as_text(a) for a in arguments])]
