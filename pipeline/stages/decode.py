"""Cells of an input's columns -> decoded values, and what is wrong with a row's own content as its error."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.kinds import KINDS
from pipeline.media import MediaError
from pipeline.schema import Error
from pipeline.stages import attempt, failure


def decoded(kind: str, cell: pa.Scalar) -> Any:
    """The value of a cell. Raises MediaError, and ValueError for a string that is not UTF-8."""
    return KINDS[kind].decode(cell.as_py())


def decode(
    block: pa.Table, roles: Mapping[str, str], conditions: Sequence[str], required: Sequence[str] = ()
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
                work = functools.partial(decoded, kind, cell)
                values[role][row], errors[row] = attempt("decode", f"column {role!r}", work)
    for row in range(count):
        missing = [role for role in required if values[role][row] is None]
        if errors[row] is None and missing:
            errors[row] = failure("decode", MediaError(f"has no {missing[0]}, which the task needs"))
        if errors[row] is None and all(values[m][row] is None for m in conditions):
            errors[row] = failure("decode", MediaError(f"has none of its conditions ({', '.join(conditions)})"))
        if errors[row] is not None:
            for role in roles:
                values[role][row] = None
    return values, errors
