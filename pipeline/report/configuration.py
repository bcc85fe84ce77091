"""Exactly what was run: settings, versions, and the command that repeats it."""

import json

import pyarrow as pa

from pipeline.report import repeat
from pipeline.report.facts import Facts
from pipeline.report.section import Section

CONTENT = ("model", "judge")  # of a row's provenance: content hashes, which stand on the page by themselves


def section(facts: Facts) -> Section:
    """Settings as JSON, provenance as a table."""
    versions = [{k: v for k, v in p.items() if k not in CONTENT} for p in facts.cost.provenance]
    models = dict.fromkeys(cell.model for cell in facts.plan.cells)
    values = {
        "command": repeat.command(facts.plan, facts.output),
        "settings": json.dumps(facts.plan.identity, indent=2),
        "fingerprints": facts.plan.fingerprints,
        "versions": versions,
        "models": dict(zip(models, facts.plan.identity["model"]["model"], strict=True)),
        "judge": (facts.plan.judge, facts.plan.identity["model"]["judge"]),
    }
    tables = {"versions": pa.Table.from_pylist([dict(p) for p in facts.cost.provenance])} if versions else {}
    return Section("configuration", "Exactly what was run", values, {}, tables)
