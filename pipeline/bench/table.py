"""All rows of the table by name, measured one after the other, and what becomes of them: JSON, and a page's table."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipeline import progress
from pipeline.bench import engine, machine, ratios
from pipeline.bench.rows import Kept, Row
from pipeline.bench.settings import Bench
from pipeline.settings import RunError, SettingsError

MEASURES: Mapping[str, Callable[[Bench, Kept], Row | list[Row]]] = {
    "plain": ratios.plain,
    "best": ratios.best,
    "fast": ratios.fast,
    "noop": engine.no_op,
    "branches": ratios.branches,
    "forwards": ratios.forwards,
    "processes": ratios.processes,
    "workers": ratios.workers,
    "growth": engine.growth,
    "resume": engine.resume,
    "rerun": engine.rerun,
    "peer": ratios.peer,
}
FREE = ("output", "only", "page", "max_load", "pairs")  # settings that may differ from those of earlier measurements
MARKS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")


def run(bench: Bench) -> str:
    """Measure the rows that are asked for and have not been measured; the path of the JSON file."""
    if unknown := sorted(set(bench.only) - set(MEASURES)):
        raise SettingsError(f"only={unknown[0]} is no row; known: {', '.join(MEASURES)}")
    refuse_load(bench.max_load)
    kept = Kept(bench)
    refuse_others(bench, kept.folder / "settings.json")
    for name in bench.only or MEASURES:
        progress.say(f"bench: {name}")
        found = MEASURES[name](bench, kept)
        own = found if isinstance(found, list) else [found]
        told = [{**row.to_json(), "row": name, "command": f"python jobs/bench.py only=[{name}]"} for row in own]
        write(kept.folder / "rows" / f"{name}.json", told)
    return collect(bench, kept.folder)


def refuse_load(most: float) -> None:
    """Raises RunError on a machine that has other work to do."""
    load = psutil.getloadavg()[0]
    if load > most:
        raise RunError(f"the load of the last minute is {load:.1f}; wait until it is below {most:g}, or say max_load=")


def refuse_others(bench: Bench, path: Path) -> None:
    """Raises SettingsError if the output holds measurements of other settings, code or machines; more pairs are no
    others."""
    given = json.loads(json.dumps(dataclasses.asdict(bench)))
    own = {name: value for name, value in given.items() if name not in FREE} | machine.described()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(own, indent=1) + "\n", "utf-8")
    before = json.loads(path.read_text("utf-8"))
    if differing := [name for name in own if own[name] != before.get(name)]:
        raise SettingsError(f"{path.parent} holds measurements of other {', '.join(differing)}; choose output=")


def collect(bench: Bench, folder: Path) -> str:
    """All rows that were ever measured into OUT, as one file, and as the page's table if there is a page."""
    files = [folder / "rows" / f"{name}.json" for name in MEASURES]
    rows = [row for path in files if path.exists() for row in json.loads(path.read_text("utf-8"))]
    path = folder / "benchmarks.json"
    write(path, rows)
    if bench.page:
        page = Path(bench.page)
        write(page.with_suffix(".json"), rows)
        page.write_text(between(page.read_text("utf-8"), markdown(rows)), "utf-8")
    return str(path)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A file with a row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")


def between(page: str, text: str) -> str:
    """The page with a text between its marks. Raises SettingsError for a page without them."""
    if not all(mark in page for mark in MARKS):
        raise SettingsError(f"page= lacks the marks {' and '.join(MARKS)}")
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table; those that nobody has measured yet say so."""
    lines = ["| row | | value | least to most | target | met | CPU seconds a row |", "| --- " * 7 + "|"]
    there = {row["row"] for row in rows}
    for name in MEASURES:
        lines += [_line(row) for row in rows if row["row"] == name]
        lines += [f"| `{name}` | | not measured yet | | | | |"] if name not in there else []
    further = [f"- {row['name']}: {_further(row['more'])}" for row in rows if row["more"]]
    return "\n".join([*lines, *(["", "Beside them:", "", *further] if further else [])])


def _line(row: Mapping[str, Any]) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    spread = f"{_figure(row['least'])} to {_figure(row['most'])}, n = {row['n']}" if row["n"] > 1 else ""
    cpu = ", ".join(f"{name} {_figure(value)}" for name, value in row["cpu"].items())
    value = f"{_figure(row['value'])} {row['unit']}"
    return f"| `{row['row']}` | {row['name']} | {value} | {spread} | {row['target']} | {met} | {cpu} |"


def _further(more: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {_figure(value)}" for name, value in more.items())


def _figure(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_figure(inner) for inner in value)
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, int | float)
        else str(value)
    )
