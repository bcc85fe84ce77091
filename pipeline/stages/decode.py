"""Cells of an input's columns -> decoded values, and what is wrong with a row's own content as its error."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline import media
from pipeline.media import Bounds, MediaError
from pipeline.schema import Error
from pipeline.stages import attempt, failure

BOUNDS = Bounds()


def decode_text(value: Any) -> str | None:
    """Text of a cell."""
    return media.field_text(value, BOUNDS)


def decode_image(value: Any) -> media.Pixels | None:
    """RGB pixels of a cell."""
    data = media.field_bytes(value)
    return None if data is None else media.decode_image(data, BOUNDS)


def decode_sketch(value: Any) -> media.Pixels | None:
    """Grey pixels of a cell."""
    data = media.field_bytes(value)
    return None if data is None else media.decode_sketch(data, BOUNDS)


# Kind of media (a task's `roles`) -> how a cell of it is decoded; None where the cell has nothing.
DECODERS: dict[str, Callable[[Any], Any]] = {"text": decode_text, "image": decode_image, "sketch": decode_sketch}


def _decoded(kind: str, cell: pa.Scalar) -> Any:
    return DECODERS[kind](cell.as_py())  # which raises for a string that is not UTF-8


def decode(
    block: pa.Table, roles: Mapping[str, str], conditions: Sequence[str]
) -> tuple[dict[str, list[Any]], list[Error | None]]:
    """(role -> decoded value of each row, each row's error). A row with an error is not looked at and has no values."""
    count = block.num_rows
    values: dict[str, list[Any]] = {role: [None] * count for role in roles}
    errors: list[Error | None] = block["error"].to_pylist()
    for role, kind in roles.items():
        if role not in block.column_names:
            continue
        for row, cell in enumerate(block[role]):
            if errors[row] is None:
                work = functools.partial(_decoded, kind, cell)
                values[role][row], errors[row] = attempt("decode", f"column {role!r}", work)
    for row in range(count):
        if errors[row] is None and all(values[m][row] is None for m in conditions):
            errors[row] = failure("decode", MediaError(f"has none of its conditions ({', '.join(conditions)})"))
        if errors[row] is not None:
            for role in roles:
                values[role][row] = None
    return values, errors
