"""The command that repeats a run: its settings as key=value, without those that conf/ gives by itself."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.ledger import Plan

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
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
    groups = {g: c for g, c in groups.items() if (CONF / g / f"{c}.yaml").is_file()}
    given = defaults(groups)
    chosen = [f"{g}={c}" for g, c in groups.items() if c != _choices().get(g)]
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
    found = sorted((CONF / "family").glob("*.yaml"))
    return next((file.stem for file in found if f"  backend: {backend}\n" in file.read_text("utf-8")), None)


def _typed(key: str) -> str:
    return re.sub(r"^weights\.", "guidance.", key)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys; an empty group has none."""
    found: dict[str, Any] = {}
    for key, inner in values.items():
        found |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return found


def defaults(groups: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys of conf/generate.yaml with these choices of its groups; empty where conf/ is not there."""
    if not (CONF / "generate.yaml").is_file():
        return {}
    own = yaml.safe_load((CONF / "generate.yaml").read_text("utf-8"))
    given = flatten({key: value for key, value in own.items() if key != "defaults"})
    chosen = {**_choices(), **groups}
    for group, choice in chosen.items():
        file = CONF / group / f"{chosen.get(choice.strip('${}'), choice)}.yaml"  # ${task}: as that group chooses
        if file.is_file():
            written = file.read_text("utf-8")
            read = yaml.safe_load(written) or {}
            given |= flatten(read if "@package _global_" in written else {group: read})
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
