"""Rows of the table that compare programs which draw; each function is one row."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.bench import programs
from pipeline.bench.rows import Kept, Row, Timed, middle, pairs, single
from pipeline.bench.settings import Bench
from pipeline.bench.watch import watch

Program = Callable[[str], Timed]  # of a folder for what it writes


def by_turns(bench: Bench, kept: Kept, name: str, ours: Program, theirs: Program) -> list[tuple[Timed, Timed]]:
    """Both programs, one after the other, as often as there are to be pairs."""

    def timed(side: str, number: int, program: Program) -> Timed:
        own = f"{name}-{side}-{number}"
        return kept.timed(own, lambda: program(kept.place(own)))

    return [(timed("a", k, ours), timed("b", k, theirs)) for k in range(bench.pairs)]


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
    return pairs("pipeline / best loop", "times", ">= 0.93", found, ("pipeline", "best loop"))


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
        return programs.ray_map("draw", programs.asked(bench, place, processes=bench.workers))

    found = by_turns(bench, kept, "peer", drawn(bench), theirs)
    return pairs("pipeline / Ray Data map_batches", "times", ">= 1", found, ("pipeline", "map_batches"))


def fast(bench: Bench, kept: Kept) -> Row:
    """Fewer steps and a guidance interval beside the plain loop with all of both; and what it does to quality."""
    interval = "guidance.interval=[{:g},{:g}]".format(*bench.interval)
    theirs = by_hand(bench, "plain", batch_size=1, threads=bench.workers, steps=bench.full_steps)
    found = by_turns(bench, kept, "fast", drawn(bench, interval), theirs)
    row = pairs(
        f"{bench.steps} steps and interval / {bench.full_steps} steps", "times", ">= 4.5", found, ("fast", "full")
    )
    few = kept.once("fast-quality-few", functools.partial(_quality, bench, kept, "few", bench.steps, interval))
    # The loop's own pictures: a test holds both against each other.
    full = kept.once("fast-quality-full", functools.partial(_quality, bench, kept, "full", bench.full_steps))
    quality = {f"{name}, fast and full": [few[name], full[name]] for name in few if name in full}
    return dataclasses.replace(row, more={**row.more, **quality})


def _quality(bench: Bench, kept: Kept, name: str, steps: int, *more: str) -> dict[str, Any]:
    """Means of the scores, by the project's own evaluation."""
    place = kept.place(f"fast-{name}")
    programs.pipeline(place, 1, programs.guided(bench, f"steps={steps}", *more))
    watch(programs.job("evaluate", f"run={place}"), Path(f"{place}-evaluate.log"))
    said = json.loads(Path(place, "report", "evaluation.json").read_text("utf-8"))
    return means(said)


def means(said: Any) -> dict[str, Any]:
    """Score -> mean, of an evaluation."""
    return {name: figure["value"] for name, figure in said["groups"]["all"].items()}


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
