"""Rows of the table that compare programs which draw; each function is one row."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.bench import corpus, programs
from pipeline.bench.rows import Kept, Program, Row, Timed, by_turns, middle, pairs, single
from pipeline.bench.settings import Bench
from pipeline.bench.watch import watch
from pipeline.settings import SettingsError


def drawn(bench: Bench, *more: str) -> Program:
    """The pipeline, drawing what the loops draw."""
    chosen = [f"actors.samplers={bench.workers}", f"steps={bench.steps}", *more]
    return lambda place: programs.pipeline(place, bench.workers, programs.guided(bench, *chosen))


def by_hand(bench: Bench, module: str, **other: Any) -> Program:
    """A loop written by hand."""
    return lambda place: programs.loop(module, programs.asked(bench, place, **other))


def plain(bench: Bench, kept: Kept) -> Row:
    """The pipeline beside the plain loop, which has all cores."""
    theirs = by_hand(bench, "plain", batch_size=1, threads=bench.workers)
    found = by_turns(bench, kept, "plain", drawn(bench), theirs)
    return pairs("pipeline / plain loop", "times", ">= 1.3", found, ("pipeline", "plain loop"))


def best(bench: Bench, kept: Kept) -> Row:
    """The pipeline beside the best loop: one process with all cores."""
    found = by_turns(bench, kept, "best", drawn(bench), by_hand(bench, "best", threads=bench.workers))
    return pairs("pipeline / best loop, one process", "times", ">= 0.93", found, ("pipeline", "best loop"))


def processes(bench: Bench, kept: Kept) -> Row:
    """The pipeline's workers beside as many processes of the best loop, with one thread each."""
    theirs = by_hand(bench, "best", processes=bench.workers)
    found = by_turns(bench, kept, "processes", drawn(bench), theirs)
    label = f"{bench.workers} workers"
    return pairs(f"{label} / {bench.workers} processes without Ray", "times", ">= 0.95", found, (label, "processes"))


def workers(bench: Bench, kept: Kept) -> Row:
    """All workers beside one."""
    one = [*programs.guided(bench), f"steps={bench.steps}", "actors.samplers=1"]
    found = by_turns(bench, kept, "workers", drawn(bench), lambda place: programs.pipeline(place, 1, one))
    return pairs(f"{bench.workers} workers / 1 worker", "times", "", found, (f"{bench.workers} workers", "1 worker"))


def peer(bench: Bench, kept: Kept) -> Row:
    """The pipeline beside Ray Data over a pipeline of diffusers, as Ray's documentation shows it."""

    def theirs(place: str) -> Timed:
        return programs.peer(programs.asked(bench, place, processes=bench.workers))

    found = by_turns(bench, kept, "peer", drawn(bench), theirs)
    return pairs("pipeline / Ray Data with the best loop inside", "times", ">= 1", found, ("pipeline", "map_batches"))


def daft(bench: Bench, kept: Kept) -> Row:
    """The pipeline beside Daft over a pipeline of diffusers."""
    if bench.daft is None:
        raise SettingsError("daft= must name the python of an environment with Daft (docs/benchmarks.md)")
    python = bench.daft

    def theirs(place: str) -> Timed:
        return programs.daft(programs.asked(bench, place, processes=bench.workers), python)

    found = by_turns(bench, kept, "daft", drawn(bench), theirs)
    return pairs("pipeline / Daft with the best loop inside", "times", ">= 1", found, ("pipeline", "Daft"))


def fast(bench: Bench, kept: Kept) -> Row:
    """Fewer steps and a guidance interval beside the plain loop with all of both; and what it does to quality."""
    theirs = by_hand(bench, "plain", batch_size=1, threads=bench.workers, steps=bench.full_steps)
    found = by_turns(bench, kept, "fast", drawn(bench, interval(bench)), theirs)
    row = pairs(
        f"{bench.steps} steps and interval / {bench.full_steps} steps", "times", ">= 4.5", found, ("fast", "full")
    )
    return dataclasses.replace(row, more={**row.more, **kept.once("fast-quality", lambda: _quality(bench, kept))})


def _quality(bench: Bench, kept: Kept) -> dict[str, Any]:
    """Scores of the embedded held-out drawings, each drawn once with the same seed: those of all steps, of few, and
    their paired difference with its interval. The pictures with all steps are the loop's own: a test holds both
    against each other."""
    few, full, place = (kept.place(f"fast-{name}") for name in ("few", "full", "compared"))
    own = [*programs.guided(bench), f"input.path={corpus.SAMPLE}"]
    programs.pipeline(few, 1, [*own, f"steps={bench.steps}", interval(bench)])
    programs.pipeline(full, 1, [*own, f"steps={bench.full_steps}"])
    watch(programs.job("compare", f"run={few}", f"against={full}", f"output={place}"), Path(f"{place}.log"))
    found = json.loads(Path(place, "figures.json").read_text("utf-8"))
    return {f"{d['score']}: full, fast, difference [low, high]": compared(d) for d in found}


def compared(difference: Mapping[str, Any]) -> list[float]:
    """Both means, their paired difference, and its interval."""
    apart = difference["difference"]
    return [difference["first"]["value"], difference["second"]["value"], *(apart[n] for n in ("value", "low", "high"))]


def interval(bench: Bench) -> str:
    """The key of a guidance interval."""
    return "guidance.interval=[{:g},{:g}]".format(*bench.interval)


def branches(bench: Bench, kept: Kept) -> Row:
    """Three branches of guidance beside one, in one process."""
    from pipeline.bench.inside import by_branches

    found = kept.once("branches", lambda: by_branches(bench))
    ratios = found["ratios"]
    name = f"3 branches / 1 branch, batch {bench.batch_size}"
    return Row(name, middle(ratios), "times", "<= 3.05", min(ratios), max(ratios), len(ratios))


def forwards(bench: Bench, kept: Kept) -> Row:
    """Rows that went through the network under an interval, without a branch, and inputs encoded, beside what was
    predicted."""
    from pipeline.bench.inside import counted

    found = kept.once("forwards", lambda: counted(bench))
    return single("forwards counted / predicted", found["counted"] / found["predicted"], "times", "== 1", **found)
