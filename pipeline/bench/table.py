"""All rows of the table by name, measured one after the other, and what becomes of them: JSON, and a page's table."""

import dataclasses
import datetime
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipeline import progress
from pipeline.bench import engine, machine, page, ratios
from pipeline.bench.rows import Kept, Row
from pipeline.bench.settings import Bench
from pipeline.conf import CONF
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
    "daft": ratios.daft,
}
FREE = (
    "output",
    "only",
    "page",
    "max_load",
    "pairs",
    "daft",
)  # settings that may differ from those of earlier measurements
PLACES = ("output", "only", "page", "max_load", "daft")  # settings that change no figure


def run(bench: Bench) -> str:
    """Measure the rows that are asked for and have not been measured; the path of the JSON file."""
    if unknown := sorted(set(bench.only) - set(MEASURES)):
        raise SettingsError(f"only={unknown[0]} is no row; known: {', '.join(MEASURES)}")
    refuse_load(bench.max_load)
    kept = Kept(bench)
    refuse_others(bench, kept.folder / "settings.json")
    for name in bench.only or [name for name in MEASURES if name != "daft" or bench.daft]:
        progress.say(f"bench: {name}")
        found = MEASURES[name](bench, kept)
        own = found if isinstance(found, list) else [found]
        told = {"row": name, "command": command(bench, name), "date": datetime.datetime.now(datetime.UTC).date()}
        write(kept.folder / "rows" / f"{name}.json", [{**row.to_json(), **told} for row in own])
        collect(bench, kept.folder)
    return str(kept.folder / "benchmarks.json")


def command(bench: Bench, name: str) -> str:
    """What measures this row again, on another machine too."""
    usual = yaml.safe_load((CONF / "bench.yaml").read_text("utf-8"))
    given = json.loads(json.dumps(dataclasses.asdict(bench)))
    other = [f"{key}={_typed(given[key])}" for key in given if key not in PLACES and given[key] != usual[key]]
    return shlex.join(["python", "jobs/bench.py", f"only=[{name}]", *other])


def _typed(value: Any) -> str:
    return json.dumps(value).replace('"', "").replace(" ", "")


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


def collect(bench: Bench, folder: Path) -> None:
    """All rows that were ever measured into OUT, as one file, and as the page's table if there is a page."""
    files = [folder / "rows" / f"{name}.json" for name in MEASURES]
    rows = [row for path in files if path.exists() for row in json.loads(path.read_text("utf-8"))]
    write(folder / "benchmarks.json", rows)
    if bench.page:
        path, settings = Path(bench.page), json.loads((folder / "settings.json").read_text("utf-8"))
        write(path.with_suffix(".json"), rows)
        text = page.markdown(list(MEASURES), rows, settings)
        path.write_text(page.between(path.read_text("utf-8"), text), "utf-8")


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A file with a row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(row, default=str) for row in rows) + "\n]\n", "utf-8")
