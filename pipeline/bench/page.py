"""The measured rows as a page's table (docs/benchmarks.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.settings import SettingsError

MARKS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")
HEAD = ("row", "", "value", "least to most", "target", "met", "CPU seconds a row", "on a GPU")


def between(page: str, text: str) -> str:
    """The page with a text between its marks. Raises SettingsError for a page without them."""
    if not all(mark in page for mark in MARKS):
        raise SettingsError(f"page= lacks the marks {' and '.join(MARKS)}")
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def markdown(names: Sequence[str], rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """What the rows hold for, the rows as a table, and what was measured beside them; rows that nobody has measured
    yet say so."""
    lines = [_held(rows, settings), "", _cells(HEAD), "| --- " * len(HEAD) + "|"]
    there = {row["row"] for row in rows}
    for name in names:
        lines += [_line(row) for row in rows if row["row"] == name]
        lines += [] if name in there else [_cells([f"`{name}`", "", "not measured yet", *[""] * (len(HEAD) - 3)])]
    further = [f"| {row['name']} | {what} | {figure(v)} |" for row in rows for what, v in row["more"].items()]
    beside = ["", "Beside them:", "", "| row | | |", "| --- | --- | --- |", *further]
    return "\n".join([*lines, *(beside if further else [])])


def _held(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """One sentence."""
    dates = sorted({row["date"] for row in rows})
    when = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])) or "never"
    packages = ", ".join(f"{name} {settings[name]}" for name in ("python", "torch", "diffusers", "ray", "pyarrow"))
    machine = f"{settings['cores']} cores of {settings['processor']}, {settings['memory']}"
    return f"Measured {when} at commit {settings['commit']}, on {machine}; {packages}."


def _line(row: Mapping[str, Any]) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    spread = f"{figure(row['least'])} to {figure(row['most'])}, n = {row['n']}" if row["n"] > 1 else ""
    cpu = ", ".join(f"{name} {figure(value)}" for name, value in row["cpu"].items())
    value = f"{figure(row['value'])} {row['unit']}"
    return _cells([f"`{row['row']}`", row["name"], value, spread, row["target"], met, cpu, ""])


def _cells(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def figure(value: Any) -> str:
    """Three digits of a number; numbers of a list."""
    if isinstance(value, list):
        return ", ".join(map(figure, value))
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
