"""Pseudo-pairs: a row that has only a picture gets the nearest text of the table, if it is near enough.

Nearest is the largest cosine in the space of a CLIP; all texts are looked at. Texts come from the rows that have no
picture: such a row and the picture's may be two halves of what nobody paired. Rows stay in their order and number.

Options: `clip`, a folder in open_clip's form; `confidence`, the least cosine; `texts`, "unpaired" for the texts of rows
without a picture, "all" for those of all rows; `text` and `image`, the names of the columns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import media
from pipeline.conditions import Judge
from pipeline.conditions.clip import ClipJudge
from pipeline.datasets.texts import BOUNDS, Found, filled, read, told
from pipeline.models import checkpoint
from pipeline.settings import Prepare, SettingsError

ROWS = 256  # that are embedded at once
TEXTS = ("unpaired", "all")
Vectors = NDArray[np.float32]


def from_table(settings: Prepare) -> pa.Table:
    """The table with the texts of neighbours."""
    options = settings.source.options
    if options["texts"] not in TEXTS:
        raise SettingsError(f"source.options.texts must be one of {', '.join(TEXTS)}, not {options['texts']}")
    if not -1 <= options["confidence"] <= 1:
        raise SettingsError(f"source.options.confidence is a cosine, in [-1, 1], not {options['confidence']:g}")
    table = read(settings.input.path, {name: options[name] for name in ("text", "image")})
    space = ClipJudge.load(str(checkpoint.fetch(options["clip"])), "cpu")
    return paired(table, options, space)


def paired(table: pa.Table, options: Any, space: Judge) -> pa.Table:
    """The table with the texts of neighbours in a space."""
    texts, cells = told(table, options["text"]), table[options["image"]].to_pylist()
    has_image = [_bytes(cell) is not None for cell in cells]
    every = options["texts"] == "all"
    known = list(dict.fromkeys(t for t, has in zip(texts, has_image, strict=True) if t and (every or not has)))
    lacking = [row for row, (text, has) in enumerate(zip(texts, has_image, strict=True)) if has and not text]
    vectors = _embedded(space, "text", known)
    found: dict[int, Found] = {}
    for start in range(0, len(lacking), ROWS):
        seen = {row: pixels for row in lacking[start : start + ROWS] if (pixels := _pixels(cells[row])) is not None}
        if not seen or not known:
            continue
        best, cosine = nearest(_embedded(space, "image", list(seen.values())), vectors)
        near = zip(seen, best.tolist(), cosine.tolist(), strict=True)
        found |= {row: Found(known[i], c) for row, i, c in near if c >= options["confidence"]}
    return filled(table, options["text"], found, "neighbour")


def nearest(vectors: Vectors, known: Vectors) -> tuple[NDArray[np.int64], Vectors]:
    """(number of the nearest of `known` [K, E], its cosine) for each of N unit vectors [N, E]."""
    cosines = vectors @ known.T
    best = cosines.argmax(1)
    return best, cosines[np.arange(len(best)), best]


def _embedded(space: Judge, kind: str, values: Sequence[Any]) -> Vectors:
    """Unit vectors [N, E]."""
    parts = [space.embed(kind, values[i : i + ROWS]).numpy() for i in range(0, len(values), ROWS)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _bytes(cell: Any) -> bytes | None:
    """An encoded picture; None where there is none."""
    try:
        return media.field_bytes(cell)
    except media.MediaError:
        return None


def _pixels(cell: Any) -> media.Pixels | None:
    """A picture; None where it cannot be read."""
    try:
        return media.decode_image(_bytes(cell) or b"", BOUNDS)
    except media.MediaError:
        return None
