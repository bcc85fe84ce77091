"""How modalities meet: tokens side by side, tokens that attend to each other, pooled vectors in one token; with gates
and without; what a condition that is nothing but noise does to each, also where a tenth of the training rows had such
ones; and a plain BERT in place of the text tower that was aligned with pictures."""

from collections.abc import Mapping
from pathlib import Path

from tests.studies import bert, denoisers, pairs
from tests.studies.study import Figures, Measure, Variant

JOIN, GATES = "stage.options.fusion.join=", "stage.options.fusion.hidden="
FLOOD = "stage.options.flood=0.1"


def _read_by_bert(data: Path, seed: int) -> tuple[str, ...]:
    return f"input.path={data}", f"stage.options.language={bert.trained(data, data.parent / f'bert-{seed}', seed)}"


VARIANTS = (
    Variant("tokens, gates", "denoisers/tokens-gates"),
    Variant("tokens, no gates", "denoisers/tokens", (f"{GATES}0",)),
    Variant("attention, gates", "denoisers/attention-gates", (f"{JOIN}attention",), seeds=1),
    Variant("pooled, gates", "denoisers/pooled-gates", (f"{JOIN}pooled",), seeds=1),
    Variant("tokens, gates, BERT", "denoisers/tokens-gates-bert", given=_read_by_bert),
    Variant("tokens, gates, trained with noise", "denoisers/tokens-gates-flood", (FLOOD,)),
    Variant("tokens, no gates, trained with noise", "denoisers/tokens-flood", (f"{GATES}0", FLOOD)),
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
