"""How modalities meet: tokens side by side, tokens that attend to each other, pooled vectors in one token; with gates
and without; and what a condition that is nothing but noise does to each."""

from collections.abc import Mapping
from pathlib import Path

from tests.studies import denoisers, pairs
from tests.studies.study import Figures, Measure, Variant

JOIN, GATES = "stage.options.fusion.join=", "stage.options.fusion.hidden="
VARIANTS = (
    Variant("tokens, gates", "denoisers/tokens-gates"),
    Variant("tokens, no gates", "denoisers/tokens", (f"{GATES}0",)),
    Variant("attention, gates", "denoisers/attention-gates", (f"{JOIN}attention",), seeds=1),
    Variant("pooled, gates", "denoisers/pooled-gates", (f"{JOIN}pooled",), seeds=1),
)


def flooded(variant: Variant, seed: int, data: Path, folder: Path) -> Figures:
    """Drawings whose sketch, or whose text, is noise; scores are against the true ones' pictures."""
    del variant, seed
    found: Figures = {}
    for name, change in (("sketch", pairs.noise_for_sketches), ("text", pairs.noise_for_texts)):
        noisy = pairs.made(data.parent / f"noise-{name}.parquet", data, change)
        figures = denoisers.drawn(folder / "train" / "model", noisy, folder / f"noise-{name}", "[none]")
        found |= {f"{metric}, {name} is noise": v for metric, v in figures.items()}
    return found


MEASURES: Mapping[str, Measure] = {"losses": denoisers.train, "drawn": denoisers.measure, "flooded": flooded}
SHOWN = (
    *("loss_all", "frechet, both", "clip_image, both", "delta_e, both", "sketch_f1, both", "clip_text, text"),
    *("clip_image, both, sketch is noise", "clip_image, both, text is noise"),
)
