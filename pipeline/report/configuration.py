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
    values = {
        "command": repeat.command(facts.plan, facts.output),
        "settings": json.dumps(facts.plan.identity, indent=2),
        "fingerprint": facts.plan.fingerprint,
        "versions": versions,
        "hashes": {n: facts.plan.identity["model"][n] for n in CONTENT},
        "places": facts.plan.places,
    }
    tables = {"versions": pa.Table.from_pylist([dict(p) for p in facts.cost.provenance])} if versions else {}
    return Section("configuration", "Exactly what was run", values, {}, tables)
