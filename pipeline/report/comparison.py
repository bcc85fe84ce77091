"""A page of two runs side by side: paired differences and pictures of the inputs and cells that both have."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage
from pipeline.evaluation.intervals import Estimate
from pipeline.ledger import Plan
from pipeline.report import album, charts, facts, files, page, previews, repeat, rows, words
from pipeline.report.choice import estimate
from pipeline.report.facts import Facts
from pipeline.report.scores import Scores, label
from pipeline.report.section import Section
from pipeline.settings import SettingsError

NAMES = ("A", "B")
SHOWN = 60  # inputs in the contact sheet


@dataclasses.dataclass(frozen=True)
class Difference:
    """One score of one cell in both runs, over the inputs that have it in both."""

    cell: str
    score: str
    first: Estimate
    second: Estimate
    difference: Estimate  # B - A

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        return bool(self.difference.low > 0 or self.difference.high < 0)


def write_comparison(place: str, run_a: str, plan_a: Plan, run_b: str, plan_b: Plan) -> str:
    """Write index.html, figures and tables below `place`; returns the page's path.

    Raises SettingsError for runs that share no input, or no score.
    """
    both = (facts.gather(run_a, plan_a), facts.gather(run_b, plan_b))
    found = differences(both[0].scores, both[1].scores)
    if not found:
        raise SettingsError(f"{run_a} and {run_b} share no input of one setting that has a score in both")
    with charts.style():
        section = _section(both, found)
    pictures = album.Album(album.BUDGET)
    shown = previews.Previews(plan_a.task, pictures)
    text = page.render("comparison.html", shown, s=section.values, drawings=section.drawings, both=both, names=NAMES)
    files.write(place, [section], pictures)
    body = [dataclasses.asdict(d) for d in found]
    storage.put(storage.join(place, "figures.json"), (json.dumps(body, indent=1) + "\n").encode())
    storage.put(storage.join(place, "index.html"), text.encode())
    return storage.join(place, "index.html")


def differences(first: Scores, second: Scores) -> list[Difference]:
    """Of every score and cell that both have; runs of one cell each are held against each other whatever its name."""
    found = []
    for score in (n for n in first.names if n in second.names):
        a, b = _by_source(first, score), _by_source(second, score)
        for cell, other in _cells(list(a), list(b)).items():
            shared = sorted(set(a[cell]) & set(b[other]))
            pair = np.array([[a[cell][s], b[other][s]] for s in shared], np.float64).reshape(-1, 2)
            pair = pair[np.isfinite(pair).all(1)]
            if len(pair):
                apart = estimate(pair[:, 1] - pair[:, 0])
                found.append(Difference(cell, score, estimate(pair[:, 0]), estimate(pair[:, 1]), apart))
    return found


def _by_source(scores: Scores, score: str) -> dict[str, dict[str, float]]:
    """Cell -> input -> mean."""
    sources = pc.unique(scores.table["source_id"]).to_pylist()
    columns: Mapping[str, NDArray[np.float64]] = scores.by_input(score)
    return {cell: dict(zip(sources, values.tolist(), strict=True)) for cell, values in columns.items()}


def _cells(first: Sequence[str], second: Sequence[str]) -> dict[str, str]:
    """Cells of A -> the same of B."""
    return {first[0]: second[0]} if len(first) == len(second) == 1 else {c: c for c in first if c in second}


def _section(both: tuple[Facts, Facts], found: Sequence[Difference]) -> Section:
    best_by = both[0].scores.best_by
    scores = list(dict.fromkeys(d.score for d in found))
    drawings = {}
    for name in scores if len({d.cell for d in found}) > 1 else ():
        apart = {d.cell: d.difference for d in found if d.score == name}
        drawings[f"differences_{name}"] = charts.intervals(apart, f"{label(name)}, B − A", f"compare_{name}", "", 0)
    for name in scores:
        spread = {n: f.scores.values(name) for n, f in zip(NAMES, both, strict=True)}
        drawings[f"scores_{name}"] = charts.histogram(spread, label(name), f"compare_scores_{name}")
    values = {
        "question": f"Is B better than A in {label(best_by)}?",
        "sentences": sentences(both, found),
        "differences": found,
        "settings": _differing(both),
        "items": shared_items(both),
        "commands": [repeat.command(f.plan, f.output) for f in both],
    }
    return Section("comparison", "Comparison", values, drawings, {"differences": _table(found)})


def sentences(both: tuple[Facts, Facts], found: Sequence[Difference]) -> list[str]:
    """The answer by the first run's `best_by`, cell by cell, and in how many other scores the runs differ."""
    scores = both[0].scores
    said = [_verdict(d, scores.sign(d.score)) for d in found if d.score == scores.best_by]
    others = [d for d in found if d.score != scores.best_by]
    better = sum(d.told_apart and scores.sign(d.score) * d.difference.value > 0 for d in others)
    worse = sum(d.told_apart for d in others) - better
    rest = f"Of {len(others)} other comparisons B is better in {better} and worse in {worse}." if others else ""
    return [*said[:4], *([rest] if rest else [])]


def _verdict(d: Difference, sign: int) -> str:
    where = f"With {d.cell}, " if d.cell else ""
    how = ("better" if sign * d.difference.value > 0 else "worse") if d.told_apart else "not to be told from A"
    text = f"{where}B is {how}: {words.number(d.second.value)} against {words.number(d.first.value)}"
    return f"{text}, difference {words.difference(d.difference)} over n = {d.difference.n:,}."


def _differing(both: tuple[Facts, Facts]) -> list[tuple[str, Any, Any]]:
    """(key, value of A, value of B) of the settings that differ."""
    a, b = (repeat.settings(f.plan) for f in both)
    return [(key, a.get(key, "–"), b.get(key, "–")) for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def shared_items(both: tuple[Facts, Facts]) -> list[Mapping[str, Any]]:
    """Inputs that both have, spread over A, with the results of both: one of each cell that both have."""
    tables = [f.scores.table.filter((pc.field("status") == "ok") & (pc.field("sample_index") == 0)) for f in both]
    cells = _cells(*([c.name for c in f.plan.cells] for f in both))
    kept = [t.filter(pc.field("cell").isin(list(c))) for t, c in zip(tables, (cells, cells.values()), strict=True)]
    there = set(kept[1]["source_id"].to_pylist())
    shared = [s for s in pc.unique(kept[0]["source_id"]).to_pylist() if s in there]
    chosen = pa.array([shared[i] for i in facts.evenly(len(shared), min(SHOWN, len(shared)))], pa.string())
    ids = [t.filter(pc.field("source_id").isin(chosen))["row_id"].to_pylist() for t in kept]
    whole = [rows.whole(f.output, f.plan, set(i)).values() for f, i in zip(both, ids, strict=True)]
    by_place = [{(r["source_id"], r["cell"]): r for r in found} for found in whole]
    items: list[Mapping[str, Any]] = []
    for source in chosen.to_pylist():
        pairs = [(c, by_place[0].get((source, c)), by_place[1].get((source, other))) for c, other in cells.items()]
        media = next(r["inputs"] for _, *two in pairs for r in two if r)
        items.append({"source_id": source, "inputs": media, "pairs": pairs})
    return items


def _table(found: Sequence[Difference]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "cell": d.cell,
                "score": d.score,
                "a": d.first.value,
                "b": d.second.value,
                "difference": d.difference.value,
                "low": d.difference.low,
                "high": d.difference.high,
                "inputs": d.difference.n,
            }
            for d in found
        ]
    )
