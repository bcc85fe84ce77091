"""A space for text, image and sketch: which pairs it is trained on, hard negatives, and how well each modality finds
the others among the 451 held-out rows of the validation split; beside them the starter's, which has seen four times as
many rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline import media
from pipeline.conditions.clip import ClipJudge
from pipeline.models import checkpoint
from pipeline.train import contrast
from tests.studies.denoisers import STARTER
from tests.studies.jobs import job
from tests.studies.study import Figures, Measure, Variant

SMALL = ("stage=align", "optimiser.epochs=2", "optimiser.passes=10", "validate.every=2")
PAIRS = "stage.options.pairs="
MODALITIES = ("image", "sketch", "text")
VARIANTS = (
    Variant("image-text, sketch-text", "alignment/two"),
    Variant("and image-sketch", "alignment/three", (f"{PAIRS}[[image,text],[sketch,text],[image,sketch]]",)),
    Variant("image-text alone", "alignment/one", (f"{PAIRS}[[image,text]]",), seeds=1),
    Variant("hard negatives, 0.3", "alignment/hard", ("stage.options.hardness=0.3",)),
    Variant("the starter's, 288,000 rows", "alignment/starter", seeds=1),
)


def train(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Train it, unless it is there; retrieval and gaps on held-out rows."""
    if variant.place == "alignment/starter":
        return starter(pairs)
    output = folder / "train"
    job("train", *SMALL, *variant.train, f"input.path={pairs}", f"seed={seed}", f"output={output}")
    last: Figures = json.loads(max((output / "log").glob("*.json")).read_text())
    return {name.removeprefix("drawn."): value for name, value in last.items() if name.startswith("drawn.")}


def starter(pairs: Path) -> Figures:
    """The same figures of the CLIP that conditions the starter."""
    space = ClipJudge.load(str(checkpoint.fetch(f"{STARTER}/clip")), "cpu")
    table = pq.read_table(pairs, columns=list(MODALITIES), filters=[("split", "=", "val")])
    spaces = {m: space.embed(m, [_decoded(m, cell) for cell in table[m].to_pylist()]).numpy() for m in MODALITIES}
    has = dict.fromkeys(MODALITIES, np.ones(len(table), bool))
    return contrast.found(spaces, has, (("image", "sketch"), ("image", "text"), ("sketch", "text")))


def _decoded(modality: str, cell: Any) -> Any:
    if modality == "text":
        return cell
    decode = media.decode_image if modality == "image" else media.decode_sketch
    return decode(cell["bytes"], media.Bounds())


MEASURES: Mapping[str, Measure] = {"found": train}
SHOWN = ("image_to_text_r1", "text_to_image_r1", "sketch_to_image_r1", "image_to_text_r10", "gap_image_text")
