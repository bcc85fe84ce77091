"""The little language of `where=`: which input rows to take, as an Arrow expression. Never eval.

group == 'flags'                        == != < <= > >=
skin_tone is not None and n > 3         is None, is not None, and, or, not, parentheses
split in ['val', 'test']                in, not in

Arrow walks an expression by recursion and would end the process at some thousand comparisons: MOST_PARTS bounds them.
"""

import ast
import contextlib
import gc
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow.compute as pc

from pipeline.settings import SettingsError

MOST_PARTS = 200  # comparisons, and, or, not
SHOWN = 80  # characters of what was not understood

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


_PARTS = (ast.BoolOp, ast.UnaryOp, ast.Compare)


def parse(text: str) -> tuple[pc.Expression, tuple[str, ...]]:
    """(Arrow expression, names of the columns that it reads). Raises SettingsError on anything else."""
    try:
        with uninterrupted():
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise SettingsError(
            f"where={_shortened(text)!r} cannot be read: {error.msg} at character {error.offset}"
        ) from error
    except (RecursionError, MemoryError, ValueError) as error:  # nested too deep, or not text
        raise SettingsError(f"where={_shortened(text)!r} cannot be read: {error or 'nested too deep'}") from error
    if sum(isinstance(node, _PARTS) for node in ast.walk(tree)) > MOST_PARTS:
        raise SettingsError(
            f'where={_shortened(text)!r} has more than {MOST_PARTS} parts; write many values as "column in [1, 2, 3]"'
        )
    columns = tuple(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))
    return _expression(tree, text), columns


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """No garbage collection inside. Before CPython 3.11.8 `ast.parse` fails with "AST constructor recursion depth
    mismatch" if a collection in the midst of it runs code that parses as well (a finalizer, another thread; gh-106905).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _expression(node: ast.expr, text: str) -> pc.Expression:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_expression(v, text) for v in values]
            result = parts[0]
            for part in parts[1:]:
                result = result & part if isinstance(op, ast.And) else result | part
            return result
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_expression(operand, text)
        case ast.Compare(left=ast.Name(id=name), ops=[op], comparators=[right]):
            return _comparison(pc.field(name), op, _value(right, text), text)
    raise _refused(node, text)


def _comparison(field: pc.Expression, op: ast.cmpop, value: Any, text: str) -> pc.Expression:
    if isinstance(op, ast.In | ast.NotIn) and isinstance(value, list):
        return field.isin(value) if isinstance(op, ast.In) else ~field.isin(value)
    if isinstance(op, ast.Is | ast.IsNot) and value is None:
        return field.is_null() if isinstance(op, ast.Is) else field.is_valid()
    if type(op) in _COMPARE and value is not None and not isinstance(value, list):
        return _COMPARE[type(op)](field, value)
    raise SettingsError(f"where={text!r}: use == != < <= > >= with a value, in with a list, is with None")


def _value(node: ast.expr, text: str) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise _refused(node, text) from error
    return list(value) if isinstance(value, list | tuple) else value


def _refused(node: ast.expr, text: str) -> SettingsError:
    part = ast.get_source_segment(text, node) or text
    return SettingsError(
        f"where={_shortened(text)!r}: {_shortened(part)!r} is not understood; write comparisons of a column "
        "with a value, as in \"group == 'flags' and size in [1, 2]\""
    )


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
