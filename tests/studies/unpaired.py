"""Rows that nobody paired: denoisers that learn from a share of the pairs alone, and from the pictures of all other
rows too, without conditions or with texts that were found for them. All take the same number of steps.

Spaces and captioners that find texts have seen the kept pairs alone.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from tests.studies import denoisers, pairs
from tests.studies.jobs import job
from tests.studies.study import Measure, Variant

Thinning = Callable[[pa.Table, float, int], pa.Table]
Given = Callable[[Path, int], tuple[str, ...]]


def _thinned(data: Path, seed: int, percent: int, change: Thinning) -> Path:
    place = data.parent / f"{change.__name__}-{percent}-{seed}.parquet"
    return pairs.made(place, data, lambda table: change(table, percent / 100, seed))


def _thin(data: Path, seed: int, percent: int, change: Thinning) -> tuple[str, ...]:
    return (f"input.path={_thinned(data, seed, percent, change)}",)


def _told(data: Path, seed: int, percent: int, find: Callable[[Path, Path, Path, int], Path]) -> tuple[str, ...]:
    """The pairs and all other pictures, with texts where some were found."""
    alone, both = (_thinned(data, seed, percent, change) for change in (pairs.kept, pairs.halves))
    found = find(alone, both, data.parent / f"{find.__name__.strip('_')}-{percent}-{seed}", seed)
    return (f"input.path={found}",)


def _neighbours(alone: Path, both: Path, folder: Path, seed: int) -> Path:
    """Pseudo-pairs by a space that was trained on the pairs that are left."""
    space = ("stage=align", "optimiser.epochs=1", "optimiser.passes=20", "validate.samples=0")
    job("train", *space, f"input.path={alone}", f"seed={seed}", f"output={folder}/space")
    found = folder / "pairs.parquet"
    given = (f"source.options.clip={folder}/space/model", "source.options.confidence=0.5")
    job("prepare", "source=pseudo_pairs", f"input.path={both}", *given, f"output={found}")
    return found


def _captions(alone: Path, both: Path, folder: Path, seed: int) -> Path:
    """Captions by a captioner that was trained on the pairs that are left."""
    learns = ("stage=caption", "optimiser.epochs=1", "optimiser.passes=30", "validate.samples=0")
    job("train", *learns, f"input.path={alone}", f"seed={seed}", f"output={folder}/captioner")
    run, found = folder / "run", folder / "pairs.parquet"
    lacks = "where=split == 'train' and text is None and image is not None"
    job(
        "generate", "task=caption", f"model.path={folder}/captioner/model", f"input.path={both}", lacks, f"output={run}"
    )
    job("prepare", "source=captioned", f"source.options.run={run}", f"input.path={both}", f"output={found}")
    return found


def _variant(percent: int, name: str, given: Given, passes: int, seeds: int) -> Variant:
    place = f"denoisers/{name.replace(' ', '-').replace(chr(39), '')}-{percent}"
    label = f"{percent} % of the pairs" + (f" and {name}" if name != "alone" else "")
    return Variant(label, place, (f"optimiser.passes={passes}",), given, seeds)


def _shares(percent: int, seeds: int) -> tuple[Variant, Variant]:
    """Without the rest, so often that there are as many steps, and with it."""
    alone = functools.partial(_thin, percent=percent, change=pairs.kept)
    both = functools.partial(_thin, percent=percent, change=pairs.halves)
    return (
        _variant(percent, "alone", alone, 100 // percent, seeds),
        _variant(percent, "other pictures", both, 1, seeds),
    )


VARIANTS = (
    Variant("all pairs", "denoisers/tokens-gates"),
    *_shares(50, 1),
    *_shares(25, 3),
    *_shares(10, 1),
    _variant(25, "neighbours' texts", functools.partial(_told, percent=25, find=_neighbours), 1, 1),
    _variant(25, "captions", functools.partial(_told, percent=25, find=_captions), 1, 1),
)
MEASURES: Mapping[str, Measure] = {"losses": denoisers.train, "drawn": denoisers.measure}
SHOWN = (
    *("loss_all", "loss_none", "frechet, both", "delta_e, both", "clip_image, both", "sketch_f1, both"),
    *("frechet, text", "clip_text, text", "delta_e, sketch"),
)
