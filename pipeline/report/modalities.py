"""Single against several conditions: cells grouped by what the network was allowed to see."""

import dataclasses

import pyarrow as pa

from pipeline.report import charts, words
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section


def sentence(facts: Facts) -> str:
    """Several conditions against one, by `best_by`; empty where the run does not tell."""
    found = facts.groups
    if not found or len(found[0].seen) < 2:
        return ""
    score, most = facts.scores.best_by, found[0]
    mean = most.standing.means[score]
    parts = [
        f"{'only the ' + g.title if len(g.seen) == 1 else g.title} {words.number(g.standing.means[score].value)} "
        f"(difference {words.difference(g.below[score])})"
        for g in found[1:]
    ]
    return (
        f"{' and '.join(sorted(most.seen)).capitalize()} together reach {words.estimate(mean)} in {label(score)}, "
        f"{words.listed(parts)}, over {words.count(mean.n, 'input')}."
    )


def section(facts: Facts) -> Section | None:
    """Dots with intervals for each score, and the table behind them."""
    found = facts.groups
    if not found:
        return None
    drawings = {
        f"modalities_{name}": charts.intervals(
            {g.title: g.standing.means[name] for g in found if g.standing.means[name].n},
            label(name),
            f"modalities_{name}",
        )
        for name in facts.scores.names
    }
    rows = [
        {"seen": g.title, "cell": g.standing.name, "score": name, **dataclasses.asdict(g.standing.means[name])}
        for g in found
        for name in facts.scores.names
    ]
    values = {"groups": found, "sentence": sentence(facts)}
    return Section(
        "modalities", "One condition or several", values, drawings, {"modalities": pa.Table.from_pylist(rows)}
    )
