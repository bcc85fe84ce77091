"""The command that repeats a run: its settings as key=value, without those that conf/ gives by itself."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.conf import CONF, choice, flatten, names, overrides
from pipeline.ledger import Plan

PLAIN = re.compile(r"[A-Za-z_/][\w./:@%+-]*")
WORDS = {"null", "true", "false", "nan", "inf"}  # text that Hydra would not read as text
UNLIKE = {
    "columns",
    "model.model",
    "model.generator",
    "model.judge",
    "model.language",
    "model.template",
    "model.classifier",
}  # of an identity: derived, or known by content alone


def command(plan: Plan, output: str) -> str:
    """One line for a shell, which makes the same plan in another output."""
    wanted = settings(plan)
    groups = {"task": wanted["task.name"], "guidance": wanted["guidance.scheme"]}
    groups |= {"family": family} if (family := _family(str(wanted["task.backend"]))) else {}
    groups = {g: c for g, c in groups.items() if c in names(g)}
    given = defaults(groups)
    usual = _choices() | overrides("task", groups.get("task", ""))
    chosen = [f"{g}={c}" for g, c in groups.items() if c != usual.get(g)]
    typed = [f"{key}={text(value)}" for key, value in wanted.items() if key not in given or given[key] != value]
    return shlex.join(["python", "jobs/generate.py", *chosen, *typed, f"output={text(output)}"])


def settings(plan: Plan) -> dict[str, Any]:
    """Dotted keys as a person types them -> values."""
    flat = flatten(plan.identity)
    kept = {_typed(k): v for k, v in flat.items() if k not in UNLIKE and k.split(".")[0] != "columns"}
    models = list(dict.fromkeys(cell.model for cell in plan.cells))
    many = {"sweep.model": models} if len(models) > 1 else {"model.path": models[0]}
    return {**kept, **many, **plan.places, "model.judge": plan.judge}


def _family(backend: str) -> str | None:
    """The choice of conf/family that has this backend."""
    return next((name for name in names("family") if choice("family", name).get("task.backend") == backend), None)


def _typed(key: str) -> str:
    return re.sub(r"^weights\.", "guidance.", key)


def defaults(groups: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys of conf/generate.yaml with these choices of its groups; empty where conf/ is not there."""
    if not (CONF / "generate.yaml").is_file():
        return {}
    own = yaml.safe_load((CONF / "generate.yaml").read_text("utf-8"))
    given = flatten({key: value for key, value in own.items() if key != "defaults"})
    chosen = {**_choices(), **groups}
    for group, name in chosen.items():
        given |= choice(group, chosen.get(name.strip("${}"), name))  # ${task}: as that group chooses
    return {k: given.get(v[2:-1]) if isinstance(v, str) and v.startswith("${") else v for k, v in given.items()}


def _choices() -> dict[str, str]:
    """Group -> the choice that conf/generate.yaml makes."""
    if not (CONF / "generate.yaml").is_file():
        return {}
    entries = yaml.safe_load((CONF / "generate.yaml").read_text("utf-8"))["defaults"]
    return {g.removeprefix("optional "): c for entry in entries if isinstance(entry, dict) for g, c in entry.items()}


def text(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}: {text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(text, value))}]"
    if isinstance(value, int | float):
        return str(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return str(value)
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'
