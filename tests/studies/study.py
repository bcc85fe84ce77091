"""What all studies share: figures of each variant and seed as files that are made once; means and differences."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.stats

Figures = dict[str, float]
Row = dict[str, str | float | int]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One line of a table. The first of a study is what the others are compared with."""

    name: str  # in tables
    place: str  # folder of its trainings below the study's; variants of several studies may share one
    train: tuple[str, ...] = ()  # arguments of its training, or of its run, beside what all have
    given: Callable[[Path, int], tuple[str, ...]] = lambda pairs, _: (f"input.path={pairs}",)  # more of them, by seed
    seeds: int = 3  # how many of the seeds it is trained with; one where nothing is claimed of it


Measure = Callable[[Variant, int, Path, Path], Figures]  # variant, seed, pairs, folder of that variant and seed


def once(path: Path, make: Callable[[], Figures]) -> Figures:
    """The figures that a file holds, made first if it is not there."""
    if not path.exists():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    figures: Figures = json.loads(path.read_text())
    return figures


def known(folder: Path, variants: Sequence[Variant], name: str) -> dict[str, dict[int, Figures]]:
    """variant -> seed -> figures in FOLDER/<place>/<seed>/<name>.json, as far as they are there."""
    found = {
        v.name: {
            int(f.parent.name): apart(json.loads(f.read_text()))
            for f in sorted((folder / v.place).glob(f"*/{name}.json"))
        }
        for v in variants
    }
    return {variant: seeds for variant, seeds in found.items() if seeds}


def apart(figures: Figures) -> Figures:
    """The figures, and how far those of both conditions are from those of the sketch alone."""
    metrics = [name.removesuffix(", both") for name in figures if name.endswith(", both")]
    return figures | {
        f"{m}, both - sketch": figures[f"{m}, both"] - figures[f"{m}, sketch"]
        for m in metrics
        if f"{m}, sketch" in figures
    }


def rows(item: str, found: Mapping[str, Mapping[int, Figures]]) -> list[Row]:
    """Means over seeds of each variant's figures, and differences from the first variant, paired by seed, with 95 %
    intervals of Student's t over the seeds."""
    made: list[Row] = []
    first = next(iter(found), "")
    for variant, seeds in found.items():
        for metric in next(iter(seeds.values())):
            made.append(_row(item, variant, metric, [own[metric] for own in seeds.values()]))
            both = [s for s in seeds if metric in found[first].get(s, {})]
            if variant != first and len(both) > 1:
                apart = [seeds[s][metric] - found[first][s][metric] for s in both]
                made.append(_row(item, f"{variant} - {first}", metric, apart))
    return made


def _row(item: str, variant: str, metric: str, values: Sequence[float]) -> Row:
    low, high = interval(values)
    figures = {"value": round(float(np.mean(values)), 5), "low": round(low, 5), "high": round(high, 5)}
    command = f"python -m tests.studies outputs/studies {item}"
    return {"item": item, "variant": variant, "metric": metric, **figures, "n": len(values), "command": command}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean by Student's t; of one value it is that value."""
    middle, count = float(np.mean(values)), len(values)
    if count < 2:
        return middle, middle
    spread = float(scipy.stats.t.ppf(0.975, count - 1)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return middle - spread, middle + spread
