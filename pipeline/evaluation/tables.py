"""Figures of groups as text for people, and as CSV."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline import storage
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.intervals import Estimate

WIDTH = 150  # characters of a line
NAME, LEAST = 22, 28  # of them, for a figure's name and, at least, for a group


def text(found: Mapping[str, Mapping[str, object]]) -> str:
    """A line for each figure, a column for each group; as many blocks below each other as WIDTH makes necessary."""
    cells = [*found, *(str(value) for own in found.values() for value in own.values())]
    width = max(LEAST, *(len(cell) + 2 for cell in cells))
    each = max(1, (WIDTH - NAME) // width)
    groups = list(found)
    blocks = [groups[start : start + each] for start in range(0, len(groups), each)]
    return "\n\n".join(_block({group: found[group] for group in block}, width) for block in blocks)


def _block(found: Mapping[str, Mapping[str, object]], width: int) -> str:
    names = list(dict.fromkeys(n for own in found.values() for n in own))
    rows: dict[str, Sequence[str]] = {"": list(found)}
    rows |= {name: [str(own.get(name, "")) for own in found.values()] for name in names}
    counts = [max((e.n for e in own.values() if isinstance(e, Estimate)), default=0) for own in found.values()]
    if any(counts):
        rows["inputs"] = [str(n) for n in counts]
    return "\n".join(f"{n:{NAME}}" + "".join(f"{c:>{width}}" for c in cells) for n, cells in rows.items())


def csv(found: Mapping[str, Figures]) -> bytes:
    """A line for each figure of each group; NaN is an empty cell."""
    lines = [(group, name, e) for group, own in found.items() for name, e in own.items()]
    columns = {"group": [group for group, _, _ in lines], "figure": [name for _, name, _ in lines]}
    numbers = {k: pa.array([getattr(e, k) for *_, e in lines], from_pandas=True) for k in ("value", "low", "high")}
    return storage.to_csv(pa.table({**columns, **numbers, "inputs": [e.n for *_, e in lines]}))
