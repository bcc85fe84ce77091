"""The question and its answer, in sentences with numbers: what stands on top of the page."""

import itertools
from collections.abc import Mapping
from typing import Any

from pipeline.ledger import Plan
from pipeline.report import modalities, sweep, words
from pipeline.report.anchors import anchors
from pipeline.report.choice import Choice, Standing
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section
from pipeline.settings import resolve

EXAMPLES = 6  # inputs whose results stand beside the answer


def section(facts: Facts) -> Section:
    """Every page has one."""
    choice = facts.choice
    swept = choice is not None and len(facts.plan.cells) > 1
    values = {
        "setting": setting(facts.plan),
        "question": question(facts),
        "headline": headline(choice) if choice and swept else "",
        "sentences": [s for s in (answer(facts), modalities.sentence(facts), *tradeoffs(facts)) if s],
        "examples": examples(facts, choice.best.name if choice else ""),
    }
    return Section("answer", "Answer", values)


def setting(plan: Plan) -> str:
    """What all cells have in common, and the axes on which they differ."""
    drop, axes = _shared(plan, "drop"), sweep.axes(plan)
    parts = [
        plan.identity["task"]["name"].replace("_", " "),
        *_loop(plan),
        f"without {', '.join(drop)}" if drop else None,
        f"swept: {', '.join(axis.title for axis in axes)}" if axes else None,
    ]
    return " · ".join(part for part in parts if part)


def _loop(plan: Plan) -> list[str | None]:
    """The sampling loop; captions have none."""
    if resolve(plan.identity["task"]["result"]).kind == "text":
        return []
    guidance, steps = plan.identity["guidance"], _shared(plan, "steps")
    interval = f", sigma in {guidance['interval']}" if guidance["interval"] else ""
    shown = words.count(steps, "step") if steps else None
    return [_shared(plan, "scheduler"), shown, f"guidance {guidance['scheme']}{interval}"]


def _shared(plan: Plan, field: str) -> Any | None:
    """The value of a field of all cells; None if they differ there."""
    first, *others = {getattr(cell, field) for cell in plan.cells}
    return None if others else first


def question(facts: Facts) -> str:
    """What the run can be asked."""
    plan = facts.plan
    inputs = words.count(plan.inputs, "input")
    if len(plan.cells) == 1:
        return f"What came of {inputs}, generated from {words.listed(_conditions(facts))}?"
    axes = "; ".join(f"{a.title}: {', '.join(map(sweep.label, a.values))}" for a in sweep.axes(plan))
    return f"Which of {len(plan.cells)} settings ({axes}) should I use? Each had the same {inputs} and the same noise."


def headline(choice: Choice) -> str:
    """The best cell, and a cheaper one that these inputs cannot tell from it: which is not yet equal."""
    if choice.cheapest.forwards == choice.best.forwards:
        return f"Best: {choice.best.name}."
    n = max(mean.n for mean in choice.best.means.values())
    return f"Best: {choice.best.name}. Cheaper, and as good as far as n = {n:,} can tell: {choice.cheapest.name}."


def answer(facts: Facts) -> str:
    """One sentence: the best setting with those that cannot be told from it, or what the only one reached."""
    if facts.choice is None:
        return f"No row has a value of {label(facts.scores.best_by)}: {words.count(facts.failed, 'row')} failed."
    return _best(facts, facts.choice) if len(facts.plan.cells) > 1 else _reached(facts, facts.choice.best)


def _best(facts: Facts, choice: Choice) -> str:
    score, best = facts.scores.best_by, choice.best
    text = (
        f"{best.name} has the best {label(score)}: {words.estimate(best.means[score])} over n = {best.means[score].n:,}"
    )
    if choice.alike:
        names = words.listed([s.name for s in choice.alike])
        text += f"; {words.count(len(choice.alike), 'other')} cannot be told from it ({names})"
        return f"{text}, {_cheapest(choice)}."
    others = [s for s in choice.standings if s is not best and s.means[score].n]
    if not others:
        return f"{text}; no other setting has a result."
    nearest = min(others, key=lambda s: abs(s.differences[score].value))
    apart = words.difference(nearest.differences[score])
    return f"{text}; every other one is worse, the nearest, {nearest.name}, by {apart}."


def _cheapest(choice: Choice) -> str:
    if choice.cheapest.forwards == choice.best.forwards:
        return f"and none of them costs less than its {choice.best.forwards:,} forwards a row"
    return (
        f"the cheapest of them {choice.cheapest.name}, with {choice.cheapest.forwards:,} forwards a row "
        f"instead of {choice.best.forwards:,}"
    )


def _reached(facts: Facts, standing: Standing) -> str:
    """The means of all scores, each beside what it is read against."""
    parts = []
    for name, mean in standing.means.items():
        if mean.n:
            beside = anchors(facts, name, standing.name)
            ends = [
                f"{words.number(e.value)} {what}"
                for e, what in zip(
                    beside or (), ("for the references themselves", "against another input"), strict=False
                )
                if e.n and not e.value > 0.999
            ]
            parts.append(f"{label(name)} {words.estimate(mean)}" + (f" ({', '.join(ends)})" if ends else ""))
    n = max(m.n for m in standing.means.values())
    went = f"{facts.ok:,} of {words.count(facts.plan.rows, 'row')} went well"
    return f"{went}, with {words.listed(parts, most=10)}, over n = {n:,}."


def tradeoffs(facts: Facts) -> list[str]:
    """Other scores by which another setting is better than the best one, beyond doubt."""
    choice = facts.choice
    if choice is None:
        return []
    found = []
    for name in facts.scores.names[1:]:
        sign = facts.scores.sign(name)
        better = [s for s in choice.standings if s.told_apart(name) and sign * s.differences[name].value > 0]
        if better:
            top = max(better, key=lambda s: sign * s.means[name].value)
            apart = words.difference(top.differences[name])
            found.append(f"{label(name)} {words.number(top.means[name].value)} with {top.name} ({apart})")
    return [f"Better than {choice.best.name} in other scores: {'; '.join(found)}."] if found else []


def examples(facts: Facts, cell: str) -> list[Mapping[str, Any]]:
    """Inputs of the contact sheet, spread over it, with one result of a cell."""
    have = [i for i in facts.sheet if any(r["cell"] == cell for r in i["results"])]
    chosen = itertools.islice(have, 0, None, max(1, len(have) // EXAMPLES))
    return [{**i, **next(r for r in i["results"] if r["cell"] == cell)} for i in itertools.islice(chosen, EXAMPLES)]


def _conditions(facts: Facts) -> list[str]:
    identity = facts.plan.identity
    return [c for c in identity["task"]["conditions"] if c not in identity["drop"]]
