"""OUT/report: index.html, one self-contained page on what was run and what came out, and its figures as files.

index.html                    the page; works offline
figures.json                  its figures, for machines
figures/<name>.svg, .png      its drawings
tables/<name>.csv, .parquet   what they were drawn from
pictures/                     what the page has no room for
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pipeline import storage
from pipeline.ledger import Plan
from pipeline.report import (
    album,
    answer,
    architecture,
    charts,
    configuration,
    distributions,
    evaluated,
    facts,
    files,
    gallery,
    heatmaps,
    modalities,
    pareto,
    previews,
    screened,
    spending,
    tsne,
    words,
)
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Make

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS: tuple[Make, ...] = (
    answer.section,
    gallery.grid,
    heatmaps.section,
    pareto.section,
    modalities.section,
    distributions.section,
    evaluated.section,
    gallery.sheet,
    gallery.extremes,
    tsne.section,
    architecture.section,
    screened.section,
    spending.failures,
    spending.costs,
    configuration.section,
)


def write_report(output: str, plan: Plan) -> str:
    """Write the page and everything beside it; returns the page's path."""
    found = facts.gather(output, plan)
    with charts.style():
        sections = [section for make in SECTIONS if (section := make(found))]
    folder = storage.join(output, "report")
    pictures = album.Album(album.BUDGET)
    shown = previews.Previews(plan.task, pictures)
    page = render("page.html", shown, found=found, sections=sections, labels=label)
    files.write(folder, sections, pictures)
    storage.put(storage.join(folder, "figures.json"), (json.dumps(numbers(found), indent=1) + "\n").encode())
    storage.put(storage.join(folder, "index.html"), page.encode())
    return storage.join(folder, "index.html")


def stands(output: str) -> bool:
    """Whether a run has a page."""
    return storage.stat_or_none(storage.join(output, "report", "index.html")) is not None


def render(template: str, shown: previews.Previews, **values: Any) -> str:
    """A page of a template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**shown.filters, "number": words.number, "estimate": words.estimate}
    environment.filters |= {"signed": words.signed, "difference": words.difference, "score": label}
    return environment.get_template(template).render(**values)


def numbers(found: Facts) -> dict[str, Any]:
    """The page's figures, for machines."""
    scores = {name: found.scores.by_cell(name) for name in found.scores.names}
    looked = screened.section(found)
    return {
        "rows": {"planned": found.plan.rows, "ok": found.ok, "failed": found.failed},
        "question": answer.question(found),
        "answer": answer.answer(found),
        "scores": {name: {cell: _summary(v) for cell, v in cells.items()} for name, cells in scores.items()},
        "choice": _choice(found),
        "failures": {reason: len(messages) for reason, messages in found.failures.items()},
        **({"safety": looked.values["whole"]} if looked else {}),
        "seconds": dict(found.cost.seconds),
        "forwards": found.cost.forwards,
    }


def _summary(values: Any) -> dict[str, float | int | None]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"n": 0, "mean": None, "std": None}
    return {"n": int(finite.size), "mean": round(float(finite.mean()), 4), "std": round(float(finite.std()), 4)}


def _choice(found: Facts) -> Mapping[str, Any] | None:
    """Best, cheapest and all cells that cannot be told from the best, with the forwards of a row of each cell."""
    choice = found.choice
    if choice is None:
        return None
    return {
        "best": choice.best.name,
        "alike": [s.name for s in choice.alike],
        "cheapest": choice.cheapest.name,
        "forwards_per_row": {s.name: s.forwards for s in choice.standings},
    }
