"""conf/ as it is written, read without Hydra: what its groups offer, by dotted keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CONF = Path(__file__).resolve().parent.parent / "conf"


def names(group: str) -> list[str]:
    """The choices of a group; none where conf/ is not there."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def choice(group: str, name: str) -> dict[str, Any]:
    """Dotted keys -> values of one choice, with those of the choices that it builds on; empty where there is none."""
    file = CONF / group / f"{name}.yaml"
    if not file.is_file():
        return {}
    written = file.read_text("utf-8")
    own = yaml.safe_load(written) or {}
    found: dict[str, Any] = {}
    for parent in _parents(own.pop("defaults", [])):
        found |= choice(group, parent)
    return found | flatten(own if "@package _global_" in written else {group: own})


def overrides(group: str, name: str) -> dict[str, str]:
    """Other groups -> the choice that comes with this one, where nobody says otherwise."""
    file = CONF / group / f"{name}.yaml"
    entries = (yaml.safe_load(file.read_text("utf-8")) or {}).get("defaults", []) if file.is_file() else []
    found: dict[str, str] = {}
    for parent in _parents(entries):
        found |= overrides(group, parent)
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return found | {key.removeprefix("override /"): other for key, other in pairs}


def _parents(entries: Sequence[Any]) -> list[str]:
    """The choices of the same group that one builds on."""
    return [entry for entry in entries if isinstance(entry, str) and entry != "_self_"]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys; an empty group has none."""
    found: dict[str, Any] = {}
    for key, inner in values.items():
        found |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return found
