"""Which of an input's results are worth keeping: a column for those who train on them; nothing is deleted."""

import math
from collections.abc import Sequence

from pipeline.settings import Select


def select(settings: Select, sources: Sequence[str], values: Sequence[float | None], ok: Sequence[bool]) -> list[bool]:
    """Whether each row is selected: it went well, its score is at least min_score, and it is among the top_k of its
    input. `values` are scores for which more is better; where one is asked for, rows without it are not selected."""
    asked = settings.top_k is not None or settings.min_score is not None
    rank = [-math.inf if v is None else v for v in values]
    chosen = [good and (not asked or v is not None) for good, v in zip(ok, values, strict=True)]
    if settings.min_score is not None:
        chosen = [c and r >= settings.min_score for c, r in zip(chosen, rank, strict=True)]
    if settings.top_k is None:
        return chosen
    kept: set[int] = set()
    for source in dict.fromkeys(sources):
        own = [i for i, s in enumerate(sources) if s == source and chosen[i]]
        kept.update(sorted(own, key=lambda i: (-rank[i], i))[: settings.top_k])
    return [i in kept for i in range(len(sources))]
