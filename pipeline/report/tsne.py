"""A map of the judge's space (t-SNE, van der Maaten & Hinton 2008): modalities by colour, some results as pictures.

Distances between far groups mean nothing in such a map; what lies close together, is close in the space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from pipeline import media, results
from pipeline.kinds import KINDS
from pipeline.report import charts, previews
from pipeline.report.charts import Drawing
from pipeline.report.facts import Facts
from pipeline.report.section import Section
from pipeline.report.space import Space
from pipeline.settings import Task

LEAST = 12  # points, below which there is no map
THUMBNAILS, SIDE = 36, 40  # pictures on the map, and their pixels
RESULT, REFERENCE = "result", "reference"
MARKERS = "os^Dvp"


def section(facts: Facts) -> Section | None:
    """The map, and its points as a table."""
    cell = facts.choice.best.name if facts.choice else facts.plan.cells[0].name
    task = facts.plan.task
    kinds, sources, vectors = points(facts.space, cell, results.of(task).reference)
    if len(vectors) < LEAST:
        return None
    places = embed(vectors)
    shown = {i["source_id"]: r for i in facts.sheet for r in i["results"] if r["cell"] == cell}
    drawn = draw(places, kinds, _pictures(task, kinds, sources, shown))
    table = pa.table({"source_id": sources, "kind": kinds, "x": places[:, 0], "y": places[:, 1]})
    values = {"cell": cell, "points": len(kinds), "inputs": len(set(sources))}
    return Section("map", "Map of the shared space", values, {"tsne": drawn}, {"tsne": table})


def points(space: Space, cell: str, reference: str | None) -> tuple[list[str], list[str], NDArray[np.float32]]:
    """(kind, source id, embedding [N, E]) of every modality of every sampled input, and of its result in a cell."""
    found = [
        (kind, point.source_id, vector)
        for point in space
        for kind, vector in {**point.inputs, RESULT: point.results.get(cell)}.items()
        if vector is not None
    ]
    vectors = np.stack([v for *_, v in found]) if found else np.zeros((0, 1), np.float32)
    return [REFERENCE if kind == reference else kind for kind, *_ in found], [s for _, s, _ in found], vectors


def embed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places [N, 2] of vectors [N, E]; equal vectors give equal maps."""
    from sklearn.manifold import TSNE

    if np.ptp(vectors, axis=0).max() == 0:  # all in one place, over which scikit-learn's tree of neighbours crashes
        return np.zeros((len(vectors), 2), np.float32)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=0, max_iter=500)
    return np.asarray(made.fit_transform(vectors.astype(np.float32)), np.float32)


def _pictures(
    task: Task, kinds: Sequence[str], sources: Sequence[str], shown: Mapping[str, Mapping[str, Any]]
) -> dict[int, NDArray[np.uint8]]:
    """Number of a point -> a small picture, for some results."""
    found: dict[int, NDArray[np.uint8]] = {}
    if KINDS[results.of(task).kind].preview is None:  # words cannot be read at that size
        return found
    for number, (kind, source) in enumerate(zip(kinds, sources, strict=True)):
        if kind == RESULT and source in shown and len(found) < THUMBNAILS:
            pixels = previews.square(task, shown[source])
            if pixels is not None:
                found[number] = media.fit(pixels, SIDE)
    return found


def draw(places: NDArray[np.float32], kinds: Sequence[str], pictures: Mapping[int, NDArray[np.uint8]]) -> Drawing:
    """Places [N, 2] coloured by kind; some points, by their numbers, as pictures."""
    made, axes = charts.figure(9, 5.4)
    names = sorted(set(kinds), key=lambda k: (k != RESULT, k))
    for number, name in enumerate(names):
        at = places[[k == name for k in kinds]]
        size = 16 if len(kinds) > 300 else 26
        colour, marker = charts.PALETTE[number % 6], MARKERS[number % 6]
        axes.scatter(at[:, 0], at[:, 1], s=size, color=colour, marker=marker, alpha=0.75, linewidths=0, label=name)
    for number, picture in pictures.items():
        _place(axes, places[number], picture)
    axes.legend(loc="upper center", ncols=len(names), bbox_to_anchor=(0.5, 1.07), markerscale=1.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return charts.drawing(made, "tsne")


def _place(axes: Axes, at: NDArray[np.float32], picture: NDArray[np.uint8]) -> None:
    image = OffsetImage(picture, zoom=0.62)
    style = {"edgecolor": charts.PALETTE[0], "linewidth": 1.0, "boxstyle": "round,pad=0.05"}
    box = AnnotationBbox(image, (float(at[0]), float(at[1])), pad=0.1, bboxprops=style)
    box.set_gid("thumb")
    axes.add_artist(box)
