"""Every score over the axes of the sweep: heat maps over two weights, a curve over one number, dots over names."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.patches import Rectangle

from pipeline.evaluation.intervals import Estimate
from pipeline.report import charts, costs, sweep, words
from pipeline.report.charts import Drawing
from pipeline.report.choice import Choice
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section
from pipeline.report.sweep import Axis


def section(facts: Facts) -> Section | None:
    """A drawing for each score, and one table of all settings."""
    choice = facts.choice
    if choice is None or len(facts.plan.cells) < 2:
        return None
    axes, cells = sweep.plane(facts.plan, choice.best.name)
    names = () if [a.key for a in axes] == ["drop"] else facts.scores.names  # modalities.py draws these
    drawings = {f"sweep_{name}": _draw(facts, choice, name, axes, cells) for name in names}
    others = sweep.axes(facts.plan)[2:]
    at = sweep.values(facts.plan)[choice.best.name]
    values = {
        "choice": choice,
        "scores": facts.scores,
        "fixed": ", ".join(f"{a.key}={sweep.label(at[a.key])}" for a in others),
        "arrows": {name: arrow(facts, name) for name in facts.scores.names},
        "seen": {s.name: " + ".join(sorted(costs.seen(facts.plan, s.cell))) or "nothing" for s in choice.standings},
    }
    return Section("settings", "Every setting", values, drawings, {"settings": _table(facts, choice)})


def _draw(
    facts: Facts, choice: Choice, score: str, axes: tuple[Axis, ...], cells: Mapping[tuple[Any, ...], str]
) -> Drawing:
    means = {s.name: s.means[score] for s in choice.standings}
    title, name = f"{label(score)} {arrow(facts, score)}", f"sweep_{score}"
    if len(axes) == 2:
        return heat_map(axes, {at: means[cell] for at, cell in cells.items()}, title, name, facts.scores.sign(score))
    if axes and axes[0].numeric:
        places = [float(v) for v in axes[0].values]
        return charts.curve(places, [means[cells[(v,)]] for v in axes[0].values], (axes[0].title, title), name)
    best = max((m for m in means if means[m].n), key=lambda m: facts.scores.sign(score) * means[m].value, default=None)
    return charts.intervals({m: e for m, e in means.items() if e.n}, title, name, best)


def arrow(facts: Facts, score: str) -> str:
    """Which way a score is better."""
    return "↑" if facts.scores.sign(score) > 0 else "↓"


def heat_map(
    axes: tuple[Axis, ...], means: Mapping[tuple[Any, ...], Estimate], title: str, name: str, sign: int
) -> Drawing:
    """Means over two axes; bright is better, the best one is framed."""
    x, y = axes
    grid = np.array([[means[(a, b)].value for a in x.values] for b in y.values])
    made, plot = charts.figure(0.8 + 0.6 * max(4, len(x.values)), 0.9 + 0.4 * len(y.values))
    colours = mpl.colormaps["cividis" if sign > 0 else "cividis_r"]
    shown = plot.pcolormesh(grid, cmap=colours, edgecolors="none")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            dark = sum(shown.cmap(shown.norm(value))[:3]) < 1.5
            ink = "white" if dark else "#111111"
            plot.text(column + 0.5, row + 0.5, words.number(value), ha="center", va="center", fontsize=8, color=ink)
    if np.isfinite(grid).any():
        row, column = divmod(int(np.nanargmax(sign * grid)), grid.shape[1])
        plot.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=charts.PALETTE[1], linewidth=2.5))
    plot.set_xticks(np.arange(len(x.values)) + 0.5, list(map(sweep.label, x.values)))
    plot.set_yticks(np.arange(len(y.values)) + 0.5, list(map(sweep.label, y.values)))
    plot.set_xlabel(x.title)
    plot.set_ylabel(y.title)
    plot.set_title(title, fontsize=9, loc="left")
    plot.tick_params(length=0)
    plot.spines[:].set_visible(False)
    return charts.drawing(made, name)


def _table(facts: Facts, choice: Choice) -> pa.Table:
    """A row for each cell and score."""
    rows = []
    for standing in choice.standings:
        at = {k: sweep.label(v) for k, v in sweep.values(facts.plan)[standing.name].items()}
        for score, mean in standing.means.items():
            apart = standing.differences.get(score)
            rows.append(
                {
                    "cell": standing.name,
                    **at,
                    "forwards_per_row": standing.forwards,
                    "score": score,
                    "mean": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "inputs": mean.n,
                    "difference_to_best": apart.value if apart else 0.0,
                    "difference_low": apart.low if apart else 0.0,
                    "difference_high": apart.high if apart else 0.0,
                }
            )
    return pa.Table.from_pylist(rows)
