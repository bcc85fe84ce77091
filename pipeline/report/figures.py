"""Pictures for the page: score histograms as SVG, thumbnails as data URIs."""

import base64
import io
from collections.abc import Mapping

import matplotlib.figure
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import media

THUMBNAIL = 128  # pixels; smaller pictures are embedded as they are


def histogram(values: Mapping[str, NDArray[np.float32]], label: str) -> str:
    """SVG of the distributions of one score, a line for each cell; colours follow the page's text colour."""
    figure = matplotlib.figure.Figure(figsize=(3.6, 1.9), layout="constrained")
    axes = figure.subplots()
    finite = {cell: v[np.isfinite(v)] for cell, v in values.items()}
    everything = np.concatenate(list(finite.values()))
    if everything.size:
        edges = np.histogram_bin_edges(everything, bins=24)
        for cell, v in finite.items():
            axes.hist(v, bins=list(edges), histtype="stepfilled" if len(finite) == 1 else "step", alpha=0.8, label=cell)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    if 1 < len(finite) <= 6:
        axes.legend(fontsize=6, frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")


def data_uri(picture: bytes) -> str:
    """A picture, at most THUMBNAIL pixels wide, as a data URI."""
    bounds = media.Bounds()
    pixels = media.decode_image(picture, bounds)
    if max(pixels.shape[:2]) > THUMBNAIL:
        small = Image.fromarray(pixels)
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        pixels = np.asarray(small)
    return "data:image/webp;base64," + base64.b64encode(media.encode_webp(pixels)).decode()
