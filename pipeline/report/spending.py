"""Where the time went, what it cost a row, and which rows failed for which reason."""

from typing import Any

import pyarrow as pa

from pipeline.report import words
from pipeline.report.facts import Facts
from pipeline.report.section import Section

EXAMPLES = 3  # messages shown of each reason


def costs(facts: Facts) -> Section:
    """Seconds and rows per second of each stage, summed over the actors that worked side by side."""
    rows, whole = facts.plan.rows, sum(facts.cost.seconds.values())
    stages = [
        {"stage": s, "seconds": t, "share": t / whole if whole else 0.0, "rows_per_second": rows / t if t else 0.0}
        for s, t in facts.cost.seconds.items()
    ]
    values = {
        "stages": stages,
        "rows": rows,
        "seconds": whole,
        "forwards": facts.cost.forwards,
        "per_second": facts.cost.forwards / facts.cost.seconds["sample"] if facts.cost.seconds.get("sample") else 0.0,
        "bytes": words.size(facts.cost.bytes),
        "bytes_per_row": words.size(facts.cost.bytes / max(1, rows)),
    }
    return Section(
        "cost", "Throughput and cost", values, {}, {"stages": pa.Table.from_pylist(stages)} if stages else {}
    )


def failures(facts: Facts) -> Section:
    """Failed rows by reason, most first."""
    reasons: list[dict[str, Any]] = [
        {"reason": reason, "rows": len(messages), "examples": messages[:EXAMPLES]}
        for reason, messages in facts.failures.items()
    ]
    flat = [{**r, "examples": "\n".join(r["examples"])} for r in reasons]
    tables = {"failures": pa.Table.from_pylist(flat)} if flat else {}
    return Section("failures", "Failures", {"reasons": reasons}, {}, tables)
