"""Pictures to look at: the sweep as a grid, the contact sheet, the best and the worst rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import media
from pipeline.ledger import Plan
from pipeline.media import Pixels
from pipeline.report import charts, previews, rows, sweep
from pipeline.report.charts import Drawing
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section
from pipeline.report.sweep import Axis

GRIDS = 6  # inputs that are shown as a grid of their own
PLAIN = (str, int, float, bool, type(None))  # values of kept columns that a page tells; others are media or lists
GROUPS = 12  # values of a kept column, above which it is none to filter by
MOSAICS, SIDE = 3, 96  # inputs in the drawing of the grid, and the pixels of each of its pictures
ROWS = 12  # inputs shown as rows of one grid, where the sweep has one axis alone


def grid(facts: Facts) -> Section | None:
    """The same input and noise under every setting: weights along the axes."""
    axes = sweep.axes(facts.plan)
    if not axes or facts.choice is None or not facts.sheet:
        return None
    shown, cells = sweep.plane(facts.plan, facts.choice.best.name)
    step = max(1, len(facts.sheet) // (GRIDS if len(shown) == 2 else ROWS))
    chosen = facts.sheet[::step][: GRIDS if len(shown) == 2 else ROWS]
    inputs = [{**i, "by_cell": _first(i["results"])} for i in chosen]
    values = {
        "axes": shown,
        "inputs": inputs,
        "cells": cells,
        "best": facts.choice.best.name,
        "label": sweep.label,
    }
    drawn = _mosaics(facts.plan, inputs[:MOSAICS], shown, cells)
    return Section("grid", "The same input and noise under every setting", values, {"grid": drawn})


def _mosaics(
    plan: Plan, inputs: Sequence[Mapping[str, Any]], axes: tuple[Axis, ...], cells: Mapping[Any, str]
) -> Drawing:
    """The grids of some inputs side by side, for slides; an axis that is not there has one place."""
    two = len(axes) == 2
    xs, ys = axes[0].values, axes[1].values if two else (None,)
    made, first = charts.figure(0.6 + 0.62 * len(xs) * len(inputs), 0.9 + 0.62 * len(ys))
    first.remove()
    for plot, item in zip(made.subplots(1, len(inputs), squeeze=False)[0], inputs, strict=True):
        names = [[cells[(x, y) if two else (x,)] for x in xs] for y in ys]
        plot.imshow(np.vstack([np.hstack([_pixels(plan, item["by_cell"].get(n)) for n in row]) for row in names]))
        plot.set_xticks([SIDE * (i + 0.5) for i in range(len(xs))], list(map(sweep.label, xs)))
        plot.set_yticks([SIDE * (i + 0.5) for i in range(len(ys))], list(map(sweep.label, ys)) if two else [""])
        plot.set(xlabel=axes[0].title, ylabel=axes[1].title if two else "")
        plot.set_title((rows.words(plan.task, item["inputs"]) or item["source_id"])[:32], fontsize=8)
        plot.tick_params(length=0)
        plot.spines[:].set_visible(False)
    return charts.drawing(made, "grid")


def _pixels(plan: Plan, row: Mapping[str, Any] | None) -> Pixels:
    """A result fitted into SIDE pixels; white where there is none."""
    pixels = previews.square(plan.task, row)
    return np.full((SIDE, SIDE, 3), 255, np.uint8) if pixels is None else media.fit(pixels, SIDE)


def _first(results: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Cell -> its first result."""
    return {r["cell"]: r for r in reversed(results)}


def sheet(facts: Facts) -> Section | None:
    """Inputs spread evenly over the run with all their results."""
    if not facts.sheet:
        return None
    names = [n for n in facts.plan.identity["input"]["keep"] if all(isinstance(i[n], PLAIN) for i in facts.sheet)]
    kept = {name: {i[name] for i in facts.sheet} for name in names}
    coarse = [name for name, found in kept.items() if len(found) <= GROUPS]
    items = [{**i, "groups": _groups(i, coarse), "words": _words(facts.plan, i, list(kept))} for i in facts.sheet]
    values = {
        "items": items,
        "groups": sorted({g for i in items for g in i["groups"]}),
        "cells": [c.name for c in facts.plan.cells if c.name],
        "inputs": facts.plan.inputs,
    }
    return Section("sheet", "Contact sheet", values)


def _groups(item: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Kept columns of an input as "column = value"."""
    return [f"{name} = {item[name]}" for name in names if item[name] is not None]


def _words(plan: Plan, item: Mapping[str, Any], names: Sequence[str]) -> str:
    """What the filter looks through."""
    return " ".join(
        [
            item["source_id"],
            rows.words(plan.task, item["inputs"]),
            *filter(None, [rows.original(item)]),
            *_groups(item, names),
        ]
    ).lower()


def extremes(facts: Facts) -> Section | None:
    """Best and worst rows."""
    if not facts.best:
        return None
    values = {"best": facts.best, "worst": facts.worst, "label": label(facts.scores.best_by)}
    return Section("best", "Best and worst rows", values)
