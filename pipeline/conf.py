"""conf/ as it is written, read without Hydra: what its groups offer, by dotted keys."""

from collections.abc import Mapping
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
    for parent in own.pop("defaults", []):
        found |= choice(group, parent) if parent != "_self_" else {}
    return found | flatten(own if "@package _global_" in written else {group: own})


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys; an empty group has none."""
    found: dict[str, Any] = {}
    for key, inner in values.items():
        found |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return found
