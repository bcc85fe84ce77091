"""Small conditional denoisers: trained, asked for held-out drawings with every subset of conditions, and measured.

They stand on the starter's frozen CLIP and autoencoder, and differ from the starter in size (a quarter of its weights)
and in how long they learn, which is the same for all of them: what is compared is what their variants differ in.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.studies.jobs import job
from tests.studies.study import Figures, Variant

STARTER = "starter:sketch_to_image"
SMALL = (
    "stage=denoise",
    f"stage.options.clip={STARTER}/clip",
    f"stage.options.vae={STARTER}/vae",
    "stage.options.channels=[32,64]",
    "optimiser.epochs=5",
    "optimiser.passes=1",
    "optimiser.lr=2e-3",
    "optimiser.warmup_steps=50",
    "validate.every=5",
    "validate.samples=0",
)
HELD_OUT = "where=split == 'test' and slice == 'drawings'"
SUBSETS = {"drop=none": "both", "drop=sketch": "text", "drop=text": "sketch"}
METRICS = ("frechet", "delta_e", "clip_image", "clip_text", "sketch_f1")


def train(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Train it into FOLDER/train; its losses on held-out rows."""
    output = folder / "train"
    job("train", *SMALL, *variant.train, *variant.given(pairs, seed), f"seed={seed}", f"output={output}")
    last: Figures = json.loads(max((output / "log").glob("*.json")).read_text())
    return {name: value for name, value in last.items() if name.startswith("loss_")}


def measure(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Figures of a trained one."""
    del variant, seed
    return drawn(folder / "train" / "model", pairs, folder / "drawn")


ASKED = ("guidance=none", "steps=10")


def drawn(
    model: Path | str, pairs: Path, folder: Path, subsets: str = "[none,text,sketch]", asked: Sequence[str] = ASKED
) -> Figures:
    """Figures of what a model draws of held-out pairs, as <metric> <subset>."""
    job(
        "generate",
        *(f"model.path={model}", f"input.path={pairs}", HELD_OUT, f"output={folder}", f"sweep.drop={subsets}"),
        *(*asked, "shard_rows=128", "batch_size=32", "model.dtype=bfloat16"),
    )
    job("evaluate", f"run={folder}", "sets={}")
    groups: dict[str, Any] = json.loads((folder / "report" / "evaluation.json").read_text())["groups"]
    return {
        f"{metric}, {SUBSETS[cell]}": own[metric]["value"]
        for cell, own in groups.items()
        for metric in METRICS
        if metric in own
    }
