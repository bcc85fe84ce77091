"""Figures as text and as CSV."""

import math

from pipeline.evaluation import tables
from pipeline.evaluation.intervals import Estimate


def made(groups: int) -> dict[str, dict[str, Estimate]]:
    return {f"text={g} sketch=1 steps=20": {"clip_text": Estimate(g, g - 0.5, g + 0.5, 100)} for g in range(groups)}


def test_many_groups_stand_in_blocks_that_fit_a_line() -> None:
    said = tables.text(made(24))
    lines = said.splitlines()
    assert max(map(len, lines)) <= tables.WIDTH
    assert all(said.count(f" text={g} ") == 1 for g in range(24))
    heads = [line for line in lines if "steps" in line]
    for head, figures in zip(heads, (line for line in lines if line.startswith("clip_text")), strict=True):
        assert [w.removeprefix("text=") + ".000" for w in head.split()[::3]] == figures.split()[1::3]
        assert len(head) == len(figures)
    assert sum(line.startswith("inputs") for line in lines) == len(heads) == 6


def test_a_name_longer_than_a_line_has_a_block_of_its_own_and_a_missing_figure_a_gap() -> None:
    found = {"a" * 200: {"x": Estimate(1, 0, 2, 3)}, "b": {"y": Estimate(1, 0, 2, 3)}, "": {}}
    blocks = [block.splitlines() for block in tables.text(found).split("\n\n")]
    assert [len(block) for block in blocks] == [3, 3, 1]
    assert blocks[1][1].startswith("y ")


def test_csv_has_a_line_for_each_figure_and_an_empty_cell_for_no_number() -> None:
    found = {"a, b": {"x": Estimate(0.1, 0.0, 0.2, 3)}, "c": {"y": Estimate(math.nan, math.nan, math.nan, 0)}}
    head, *lines = tables.csv(found).decode().splitlines()
    assert head == '"group","figure","value","low","high","inputs"'
    assert lines == ['"a, b","x",0.1,0,0.2,3', '"c","y",,,,0']
