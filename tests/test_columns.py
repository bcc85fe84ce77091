"""Whole columns (pipeline/stages/columns.py) are what row by row would have been."""

import numpy as np
import pyarrow as pa

from pipeline.stages import columns


def test_rows_are_taken_and_a_whole_table_is_not_copied() -> None:
    table = pa.table({"a": [1, 2, 3]})
    assert columns.taken(table, [0, 1, 2]) is table
    assert columns.taken(table, [2, None, 0])["a"].to_pylist() == [3, None, 1]
    assert columns.taken(table, [0, 1])["a"].to_pylist() == [1, 2]


def test_vectors_are_halved_and_null_where_there_is_none() -> None:
    values = np.array([[1.0, 0.1], [2.0, 3.0]], np.float32)
    there = np.array([True, False])
    by_row = pa.array([values[0].astype(np.float16), None], pa.list_(pa.float16(), 2))
    assert columns.halves(values, there).equals(by_row)


def test_a_key_decides_a_struct() -> None:
    kind = pa.struct([("x", pa.int32())])
    made = columns.by_key(["b", "a", "b"], {"a": {"x": 1}, "b": {"x": None}}, kind)
    assert made.to_pylist() == [{"x": None}, {"x": 1}, {"x": None}]
    assert columns.struct(kind, {"x": pa.array([1, 2], pa.int32())}).to_pylist() == [{"x": 1}, {"x": 2}]


def test_flags_are_booleans() -> None:
    assert columns.flags(pa.table({"a": [True, False]}), "a").tolist() == [True, False]
