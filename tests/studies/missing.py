"""Any subset of conditions: what is drawn by both, by the text and by the sketch, of models in whose training rows text
and sketch were each missing at random."""

import functools
from collections.abc import Mapping
from pathlib import Path

from tests.studies import denoisers, pairs
from tests.studies.study import Measure, Variant


def _thinned(data: Path, seed: int, percent: int) -> tuple[str, ...]:
    place = data.parent / f"missing-{percent}-{seed}.parquet"
    return (f"input.path={pairs.made(place, data, lambda table: pairs.missing(table, percent / 100, seed))}",)


VARIANTS = (
    Variant("none missing", "denoisers/tokens-gates"),
    *(
        Variant(
            f"{p} % missing",
            f"denoisers/missing-{p}",
            given=functools.partial(_thinned, percent=p),
            seeds=3 if p == 50 else 1,
        )
        for p in (25, 50, 75)
    ),
)
MEASURES: Mapping[str, Measure] = {"losses": denoisers.train, "drawn": denoisers.measure}
SHOWN = (
    *("frechet, both", "delta_e, both", "clip_image, both", "sketch_f1, both"),
    *("sketch_f1, sketch", "clip_image, sketch", "clip_text, text", "clip_image, text"),
)
