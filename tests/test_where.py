import ast
import gc

import pyarrow as pa
import pytest

from pipeline import where
from pipeline.settings import SettingsError

TABLE = pa.table({"group": ["a", "b", None, "c"], "n": [1, 2, 3, 4], "split": ["train", "test", "test", "val"]})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("group == 'a'", [0]),
        ("n > 1 and n <= 3", [1, 2]),
        ("group is None", [2]),
        ("group is not None and not n == 4", [0, 1]),
        ("split in ['val', 'train']", [0, 3]),
        ("split not in ['val', 'train'] and (n == 2 or n == 3)", [1, 2]),
        ("n != 1", [1, 2, 3]),
        ("n >= -1", [0, 1, 2, 3]),
    ],
)
def test_expressions_select_rows(text: str, rows: list[int]) -> None:
    expression, _ = where.parse(text)
    assert [n - 1 for n in TABLE.filter(expression)["n"].to_pylist()] == rows


def test_columns_are_named_once_in_order() -> None:
    assert where.parse("b == 1 and a == 2 or b == 3")[1] == ("b", "a")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "group == open('/etc/passwd')",
        "n == 1 if True else n == 2",
        "(lambda: 1)() == 1",
        "n",
        "'a' == group",
        "n < 1 < 3",
        "n + 1 == 2",
        "n == None",
        "n in 3",
        "n ==",
        "n == {[1]: 2}",
        "n == \0",
        "not " * 5000 + "n == 1",
        "n == " + "-" * 4000 + "1",
        "n" + ".real" * 2500 + " == 1",
        "n" + " + n" * 1000 + " == 1",
        "(" * 300,
        " or ".join(f"n == {i}" for i in range(1000)),  # Arrow ends the process at some thousand
    ],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        where.parse(text)
    assert "\n" not in str(caught.value)
    assert "where=" in str(caught.value)


def test_many_comparisons_and_long_lists_are_no_burden() -> None:
    many, _ = where.parse(" or ".join(f"n == {i}" for i in range(100)))
    long, _ = where.parse(f"n in {list(range(10_000))}")
    assert len(TABLE.filter(many)) == len(TABLE.filter(long)) == 4


def test_a_finalizer_that_parses_does_not_get_between() -> None:
    class Parses:
        """Garbage that parses when it is collected, as what writes a traceback of a finalizer's error does."""

        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            ast.parse("1")

    gc.collect()
    for _ in range(10):
        Parses()
    assert where.parse(f"n in {list(range(2000))}")[1] == ("n",)  # more nodes than a collection waits for
