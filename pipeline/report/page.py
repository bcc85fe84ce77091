"""report/index.html: one self-contained page on what was run and what came out."""

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pipeline import media, storage
from pipeline.ledger import Plan
from pipeline.report import facts, figures
from pipeline.report.facts import Facts

LABELS = {
    "clip_text": "CLIP similarity to the text",
    "clip_sketch": "CLIP similarity to the sketch",
    "clip_image": "CLIP similarity to the reference",
    "sketch_f1": "sketch fidelity (F1)",
    "delta_e": "colour error (Delta E)",
}


def write_report(output: str, plan: Plan) -> str:
    """Write the page and its figures as JSON; returns the page's path."""
    found = facts.gather(output, plan)
    page = storage.join(output, "report", "index.html")
    storage.put(storage.join(output, "report", "figures.json"), (json.dumps(numbers(found), indent=1) + "\n").encode())
    storage.put(page, render(found, output).encode())
    return page


def numbers(found: Facts) -> dict[str, Any]:
    """The page's figures, for machines."""
    return {
        "rows": {"planned": found.plan.rows, "ok": found.ok, "failed": found.failed},
        "scores": {name: {cell: _summary(v) for cell, v in cells.items()} for name, cells in found.scores.items()},
        "failures": {reason: len(messages) for reason, messages in found.failures.items()},
        "seconds": dict(found.seconds),
        "forwards": found.forwards,
    }


def _summary(values: Any) -> dict[str, float | int | None]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"n": 0, "mean": None, "std": None}
    return {"n": int(finite.size), "mean": round(float(finite.mean()), 4), "std": round(float(finite.std()), 4)}


def render(found: Facts, output: str) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["picture"] = _picture
    environment.filters["histogram"] = lambda name: figures.histogram(found.scores[name], LABELS.get(name) or name)
    return environment.get_template("page.html").render(
        found=found,
        numbers=numbers(found),
        identity=found.plan.identity,
        labels=LABELS,
        output=output,
        configuration=facts.command(found.plan),
    )


def _picture(value: Any) -> str | None:
    """Data URI of an image cell, None where it holds none that can be shown."""
    try:
        data = media.field_bytes(value)
        return figures.data_uri(data) if data else None
    except media.MediaError:
        return None
