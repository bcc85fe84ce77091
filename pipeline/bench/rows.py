"""Rows of the table, measurements behind them, and where both are kept: what was measured is not measured again."""

import dataclasses
import json
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.bench.settings import Bench

SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclasses.dataclass(frozen=True)
class Timed:
    """One timed run of some program; what it needs to start is apart."""

    rows: int  # that were done in `seconds`
    seconds: float
    startup: float  # seconds until then
    cpu: float  # seconds of all processes in `seconds`
    whole: float  # seconds from beginning to end
    driver: float = 0.0  # most private MB of the command's process
    worker: float = 0.0  # of the largest process below it
    total: float = 0.0  # of all of them
    others: float = 0.0  # cores that the rest of the machine used in `seconds`

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    target: str  # "" : none
    least: float
    most: float
    n: int  # how often it was measured
    cpu: Mapping[str, float] = dataclasses.field(default_factory=dict)  # seconds of a row, by program
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # figures that are printed beside it
    command: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        return reached(self.value, self.target)

    def to_json(self) -> dict[str, Any]:
        """As docs/benchmarks.json has it."""
        return {**dataclasses.asdict(self), "met": self.met}


def reached(value: float, target: str) -> bool | None:
    """Whether a value keeps a target such as ">= 1.3"."""
    if not target:
        return None
    sign, bound = target.split()
    return SIGNS[sign](value, float(bound))


class Kept:
    """A folder of measurements, one JSON file each."""

    def __init__(self, bench: Bench) -> None:
        self.folder = Path(bench.output)

    def timed(self, name: str, measure: Callable[[], Timed]) -> Timed:
        """A timed run: as it was measured before, else measured now."""
        return Timed(**self.once(name, lambda: dataclasses.asdict(measure())))

    def once(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Some figures: as they were measured before, else measured now."""
        path = self.folder / "measured" / f"{name}.json"
        if not path.exists():
            found = measure()
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
            part.rename(path)
        return dict(json.loads(path.read_text("utf-8")))

    def place(self, name: str) -> str:
        """A folder for what a program writes."""
        return str(self.folder / "work" / name)


Program = Callable[[str], Timed]  # of a folder for what it writes


def by_turns(bench: Bench, kept: Kept, name: str, ours: Program, theirs: Program) -> list[tuple[Timed, Timed]]:
    """Both programs, one after the other, as often as there are to be pairs."""

    def timed(side: str, number: int, program: Program) -> Timed:
        return kept.timed(f"{name}-{side}-{number}", lambda: program(kept.place(f"{name}-{side}")))

    return [(timed("a", k, ours), timed("b", k, theirs)) for k in range(bench.pairs)]


def pairs(name: str, unit: str, target: str, found: Sequence[tuple[Timed, Timed]], labels: tuple[str, str]) -> Row:
    """A row of the ratio of two programs' rates, measured by turns: its median, least and most."""
    ratios = [ours.rate / theirs.rate for ours, theirs in found]
    sides = [list(side) for side in zip(*found, strict=True)]
    more = {f"rows/s, {label}": middle(t.rate for t in own) for label, own in zip(labels, sides, strict=True)}
    more |= {
        f"s until steady, {label}": middle(t.startup for t in own) for label, own in zip(labels, sides, strict=True)
    }
    more["cores that others used, at most"] = max(t.others for own in sides for t in own)
    cpu = {label: middle(t.cpu / t.rows for t in own) for label, own in zip(labels, sides, strict=True)}
    return Row(name, statistics.median(ratios), unit, target, min(ratios), max(ratios), len(ratios), cpu, more)


def single(name: str, value: float, unit: str, target: str, **more: Any) -> Row:
    """A row that was measured once."""
    return Row(name, value, unit, target, value, value, 1, more=more)


def middle(values: Any) -> float:
    """Their median."""
    return float(statistics.median([*values]))
