"""A space for text, image and sketch: which pairs it is trained on, hard negatives, and how well each modality finds
the others among 500 held-out rows."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.studies.jobs import job
from tests.studies.study import Figures, Measure, Variant

SMALL = ("stage=align", "optimiser.epochs=2", "optimiser.passes=10", "validate.every=2")
PAIRS = "stage.options.pairs="
VARIANTS = (
    Variant("image-text, sketch-text", "alignment/two"),
    Variant("and image-sketch", "alignment/three", (f"{PAIRS}[[image,text],[sketch,text],[image,sketch]]",)),
    Variant("image-text alone", "alignment/one", (f"{PAIRS}[[image,text]]",), seeds=1),
    Variant("hard negatives, 0.3", "alignment/hard", ("stage.options.hardness=0.3",)),
)


def train(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Train it; retrieval and gaps on held-out rows."""
    output = folder / "train"
    job("train", *SMALL, *variant.train, f"input.path={pairs}", f"seed={seed}", f"output={output}")
    last: Figures = json.loads(max((output / "log").glob("*.json")).read_text())
    return {name.removeprefix("drawn."): value for name, value in last.items() if name.startswith("drawn.")}


MEASURES: Mapping[str, Measure] = {"found": train}
SHOWN = ("image_to_text_r1", "text_to_image_r1", "sketch_to_image_r1", "image_to_text_r10", "gap_image_text")
