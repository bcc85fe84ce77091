"""Weights of guidance that follow the evidence of each row and step (balanced.py), against the best fixed pair that a
sweep found (docs/results.md), with the starter model: 100 held-out drawings of each seed's noise."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.studies.denoisers import HELD_OUT, METRICS
from tests.studies.jobs import job
from tests.studies.study import Figures, Measure, Variant


def _variant(scheme: str, text: float, sketch: float) -> Variant:
    weights = (f"guidance={scheme}", f"guidance.text={text:g}", f"guidance.sketch={sketch:g}")
    return Variant(f"{scheme}, text {text:g}, sketch {sketch:g}", f"weighting/{scheme}-{text:g}-{sketch:g}", weights)


VARIANTS = (
    _variant("composed", 2, 1),
    _variant("balanced", 2, 1),
    _variant("balanced", 1.5, 1.5),
    _variant("balanced", 1, 2),
)
SHOWN = METRICS


def drawn(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Figures of what it draws of 100 rows."""
    output = folder / "drawn"
    job(
        "generate",
        *(f"input.path={pairs}", HELD_OUT, "limit=100", f"seed={seed}", f"output={output}", *variant.train),
        *("steps=10", "shard_rows=50", "batch_size=16", "model.dtype=bfloat16"),
    )
    job("evaluate", f"run={output}", "sets={}")
    groups = json.loads((output / "report" / "evaluation.json").read_text())["groups"]
    (own,) = groups.values()
    return {metric: own[metric]["value"] for metric in METRICS if metric in own}


MEASURES: Mapping[str, Measure] = {"drawn": drawn}
