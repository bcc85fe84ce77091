"""Figures over sets, as jobs/evaluate.py left them beside the page; nothing before it has run."""

import base64
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.evaluation.intervals import Estimate
from pipeline.report.facts import Facts
from pipeline.report.section import Section

NAN = float("nan")


def section(facts: Facts) -> Section | None:
    """A line for each slice, a column for each figure that is none of the task's scores, with what was warned of."""
    folder = storage.join(facts.output, "report")
    if not storage.stat_or_none(storage.join(folder, "evaluation.json")):
        return None
    body = storage.read_json(storage.join(folder, "evaluation.json"))
    groups: Mapping[str, Mapping[str, Any]] = body["groups"]
    figures = [n for n in dict.fromkeys(n for own in groups.values() for n in own) if n not in facts.scores.names]
    values = {
        "figures": figures,
        "groups": {group: [_estimate(own.get(name)) for name in figures] for group, own in groups.items()},
        "warnings": sorted({text for own in body["warnings"].values() for text in own.values()}),
        "features": body["features"],
        "memorised": _picture(storage.join(folder, "memorised.png")),
    }
    return Section("sets", "Figures over sets", values)


def _estimate(found: Mapping[str, Any] | None) -> Estimate:
    if found is None:
        return Estimate(NAN, NAN, NAN, 0)
    value, low, high = (NAN if found[k] is None else found[k] for k in ("value", "low", "high"))
    return Estimate(value, low, high, found["n"])


def _picture(uri: str) -> str | None:
    """A data URI of the nearest training rows, where they were looked for."""
    if not storage.stat_or_none(uri):
        return None
    return "data:image/png;base64," + base64.b64encode(storage.read(uri)).decode()
