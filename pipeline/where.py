"""The little language of `where=`: which input rows to take, as an Arrow expression. Never eval.

group == 'flags'                        == != < <= > >=
skin_tone is not None and n > 3         is None, is not None, and, or, not, parentheses
split in ['val', 'test']                in, not in
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc

from pipeline.settings import SettingsError

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def parse(text: str) -> tuple[pc.Expression, tuple[str, ...]]:
    """(Arrow expression, names of the columns that it reads). Raises SettingsError on anything else."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise SettingsError(f"where={text!r} cannot be read: {error.msg} at character {error.offset}") from error
    columns = tuple(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))
    return _expression(tree, text), columns


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
    except ValueError as error:
        raise _refused(node, text) from error
    return list(value) if isinstance(value, list | tuple) else value


def _refused(node: ast.expr, text: str) -> SettingsError:
    part = ast.unparse(node)
    return SettingsError(
        f"where={text!r}: {part!r} is not understood; write comparisons of a column with a value, "
        "as in \"group == 'flags' and size in [1, 2]\""
    )
