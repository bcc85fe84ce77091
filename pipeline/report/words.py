"""Numbers and lists as people write them."""

import math
from collections.abc import Callable, Sequence

from pipeline.evaluation.intervals import Estimate


def number(value: float, scale: float = 0.0) -> str:
    """Three decimals for scores about one, one for larger ones or where a number of that `scale` stands beside it."""
    if not math.isfinite(value):
        return "–"
    return (f"{value:.1f}" if max(abs(value), scale) >= 2 else f"{value:.3f}").replace("-", "−")


def signed(value: float, scale: float = 0.0) -> str:
    """A difference."""
    return ("+" if value > 0 else "") + number(value, scale)


def estimate(found: Estimate) -> str:
    """A figure with its interval."""
    return _interval(found, number)


def difference(found: Estimate) -> str:
    """A difference with its interval."""
    return _interval(found, signed)


def _interval(found: Estimate, write: Callable[[float, float], str]) -> str:
    scale = max(abs(found.low), abs(found.high))
    value, low, high = (write(v, scale) for v in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]" if found.n else "–"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence, at most so many of them."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size(n: float) -> str:
    """Bytes."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= one:
            return f"{n / one:.1f} {unit}"
    return f"{n:.0f} bytes"
