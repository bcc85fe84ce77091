"""What all drawings share: one palette, SVG that follows the page's colours, PNG for slides, and three kinds of axes.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart. In the SVG they are CSS
variables with the printed colour as what holds without the page.
"""

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.evaluation.intervals import Estimate

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, SOFT = "#000000", "#7f7f7f"
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure in both forms."""

    svg: str
    png: bytes


def style() -> AbstractContextManager[None]:
    """In which all drawings of a page are made."""
    return mpl.rc_context(STYLE)


def figure(width: float = 3.5, height: float = 2.3) -> tuple[Figure, Axes]:
    """A figure of that many inches with one pair of axes."""
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots()


def drawing(made: Figure, name: str) -> Drawing:
    """A figure as SVG that can stand in a page among others, and as PNG. The same figure gives the same bytes."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        vector, raster = io.StringIO(), io.BytesIO()
        made.savefig(vector, format="svg", transparent=True, metadata={"Date": None})
        made.set_layout_engine("none")  # it is laid out now
        made.savefig(raster, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return Drawing(follow_page(vector.getvalue()), raster.getvalue())


def follow_page(svg: str) -> str:
    """The SVG without its prologue, its black, its colours and its letters being those of the page."""
    svg = svg[svg.index("<svg") :]
    svg = svg.replace("<svg ", '<svg fill="currentColor" ', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="(?!thumb)[^"]*"', "<g", svg)
    svg = re.sub(r'font: ((?:[a-z]+ )*[\d.]+px)[^;"]*', r"font: \1 system-ui, sans-serif", svg)
    for number, colour in enumerate(PALETTE):
        svg = svg.replace(colour, f"var(--c{number}, {colour})")
    return svg.replace(INK, "currentColor").replace(SOFT, "var(--soft, #7f7f7f)")


def histogram(values: Mapping[str, NDArray[np.float32]], label: str, name: str = "histogram") -> Drawing:
    """Distributions of one score, a line for each named set of values [rows]; of several sets as shares of each."""
    made, axes = figure(height=2.1)
    finite = {cell: v[np.isfinite(v)] for cell, v in values.items()}
    everything = np.concatenate(list(finite.values()))
    if everything.size:
        edges = np.histogram_bin_edges(everything, bins=24)
        alone = len(finite) == 1
        for number, (cell, v) in enumerate(finite.items()):
            colour = PALETTE[number % len(PALETTE)]
            kind: Any = "stepfilled" if alone else "step"
            each = None if alone else np.full(len(v), 100 / max(1, len(v)))
            axes.hist(
                v, bins=list(edges), weights=each, histtype=kind, color=colour, alpha=0.85, linewidth=1.4, label=cell
            )
    axes.set_xlabel(label)
    axes.set_ylabel("rows" if len(finite) == 1 else "% of rows")
    if len(finite) > 1 and everything.size:
        axes.legend(fontsize=7)
    return drawing(made, name)


def intervals(
    found: Mapping[str, Estimate], label: str, name: str, marked: str | None = None, line: float | None = None
) -> Drawing:
    """A dot with its interval for each named estimate, from top to bottom; `marked` stands out, a `line` is drawn."""
    made, axes = figure(height=0.75 + 0.27 * len(found))
    if line is not None:
        axes.axvline(line, color=SOFT, linewidth=1)
    for place, (title, estimate) in enumerate(found.items()):
        colour = PALETTE[1] if title == marked else PALETTE[0]
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([estimate.value], [place], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(max(1, len(found)) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=SOFT, alpha=0.25, linewidth=0.6)
    return drawing(made, name)


def curve(places: Sequence[float], found: Sequence[Estimate], labels: tuple[str, str], name: str) -> Drawing:
    """Estimates over a number, with their intervals as a band; labels are of x and y."""
    made, axes = figure()
    axes.fill_between(places, [e.low for e in found], [e.high for e in found], color=PALETTE[0], alpha=0.2, linewidth=0)
    axes.plot(places, [e.value for e in found], "o-", color=PALETTE[0], markersize=4, linewidth=1.5)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_xticks(list(places))
    axes.grid(color=SOFT, alpha=0.2, linewidth=0.6)
    return drawing(made, name)
