"""Rows of the table that measure the engine alone, on models that do nothing (noop.py), and what a kill costs; each
function is one row."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.bench import noop, programs
from pipeline.bench.programs import generate_command, guided, heavy
from pipeline.bench.rows import Kept, Row, Timed, middle, pairs, single
from pipeline.bench.settings import Bench
from pipeline.bench.watch import LIBRARIES, BenchError, watch

FINISHED_SECONDS = 5  # that the same command may take once all is done
WARM = 4  # shards that are done before the steady state of a run whose models do nothing


def keys(bench: Bench, rows: int, *more: str) -> list[str]:
    """Keys of a run whose models do nothing."""
    fixed = [f"shard_rows={bench.engine_shard_rows}", "batch_size=64", "actors.samplers=1"]
    return [f"input.path={heavy(bench, rows)}", *noop.ARGUMENTS, *fixed, *more]


def no_op(bench: Bench, kept: Kept) -> Row:
    """Rows a second of the engine, beside a plain chain of Ray Data over the same files."""

    def ours(place: str) -> Timed:
        return programs.pipeline(place, WARM, keys(bench, bench.engine_rows))

    def theirs(place: str) -> Timed:
        told = programs.asked(bench, place, input=str(heavy(bench, bench.engine_rows)), rows=bench.engine_rows)
        return programs.ray_map("chain", dataclasses.replace(told, batch_size=bench.engine_shard_rows))

    own = [
        (
            kept.timed(f"no_op-a-{k}", _at(ours, kept.place("no_op-a"))),
            kept.timed(f"no_op-b-{k}", _at(theirs, kept.place("no_op-b"))),
        )
        for k in range(bench.pairs)
    ]
    ratio = pairs("", "", "", own, ("pipeline", "plain Ray Data chain"))
    rates = [a.rate for a, _ in own]
    more = {**ratio.more, "pipeline / chain": [ratio.value, ratio.least, ratio.most]}
    value = float(ratio.more["rows/s, pipeline"])
    name = f"no-op models, {bench.engine_rows:,} rows of 8-10 kB"
    return Row(name, value, "rows/s", ">= 5000", min(rates), max(rates), len(rates), ratio.cpu, more)


def _at(program: Callable[[str], Timed], place: str) -> Callable[[], Timed]:
    return lambda: program(place)


def growth(bench: Bench, kept: Kept) -> list[Row]:
    """Time of a row and peak memory of runs of many rows, beside a run of few."""
    found = []
    for count in bench.growth:
        place = kept.place(f"growth-{count}")
        found.append(kept.timed(f"growth-{count}", _at(_grown(bench, count), place)))
    base, made = found[0], []
    for count, own, most in zip(bench.growth[1:], found[1:], (1.10, 1.20), strict=False):
        name = f"{count // bench.growth[0]} x the rows"
        memory = max(own.driver / base.driver, own.worker / base.worker)
        more = {"driver MB": [base.driver, own.driver], "largest worker MB": [base.worker, own.worker]}
        made.append(single(f"{name}: time of a row", base.rate / own.rate, "times", "<= 1.05", rows=count))
        made.append(single(f"{name}: peak memory of a process", memory, "times", f"<= {most:g}", **more))
    return made


def _grown(bench: Bench, count: int) -> Callable[[str], Timed]:
    return lambda place: programs.pipeline(place, WARM, keys(bench, count))


def resume(bench: Bench, kept: Kept) -> Row:
    """A run that is killed when half of its shards are done, and goes on, beside one that is left alone."""
    keys = [*guided(bench), f"steps={bench.steps}", f"actors.samplers={bench.workers}"]
    found = [kept.once(f"resume-{k}", lambda: _resumed(bench, kept, keys)) for k in range(bench.pairs)]
    ratios = [(f["until killed"] + f["resumed"] - f["start-up"]) / f["whole"] for f in found]
    seconds = {f"seconds, {name}": middle(f[name] for f in found) for name in found[0]}
    name = "killed at half and resumed / uninterrupted"
    return Row(name, middle(ratios), "times", "<= 1.1", min(ratios), max(ratios), len(ratios), more=seconds)


def _resumed(bench: Bench, kept: Kept, keys: list[str]) -> dict[str, float]:
    """Seconds of a run that is left alone, and of one that is killed at half of its shards and goes on. Raises
    BenchError if the latter has other rows at its end."""
    place, alone = kept.place("resume"), kept.place("whole")
    half = bench.rows // bench.batch_size // 2
    whole = programs.pipeline(alone, bench.workers, keys)
    cut = programs.pipeline(place, bench.workers, keys, until=_has(place, half))
    again = _again(place, keys)
    if _images(place) != _images(alone):
        raise BenchError(f"{place} was killed and resumed, and has other rows than {alone}")
    # To start is what comes before the first shards, less the time that these take.
    startup = again.startup - bench.workers * bench.batch_size / whole.rate
    return {"whole": whole.whole, "until killed": cut.whole, "resumed": again.whole, "start-up": startup}


def _images(place: str) -> dict[str, bytes]:
    """Pictures of a run by row."""
    found = pq.read_table(Path(place, "data"), columns=["row_id", "image"]).to_pylist()
    return {row["row_id"]: row["image"]["bytes"] for row in found}


def _has(place: str, shards: int) -> Callable[[], bool]:
    return lambda: len([*Path(place, "data").glob("*.parquet")]) >= shards


def _again(place: str, keys: list[str]) -> Timed:
    """The same command once more; what is done stays."""
    done = len([*Path(place, "data").glob("*.parquet")])
    watched = watch(generate_command(place, *keys), Path(f"{place}-again.log"))
    return programs.steady(watched, Path(place, "data"), done + 1)


def rerun(bench: Bench, kept: Kept) -> Row:
    """The command of a finished run once more."""
    place, keys = kept.place("rerun"), [*guided(bench), "steps=1", f"limit={bench.batch_size}", "actors.samplers=1"]

    def measure() -> dict[str, object]:
        programs.pipeline(place, 1, keys)
        found = [watch(generate_command(place, *keys), Path(f"{place}-again.log")) for _ in range(bench.pairs)]
        started = sorted(set().union(*(watched.libraries for watched in found)))
        return {"seconds": [w.ended - w.began for w in found], "cpu": found[-1].looks[-1].cpu, "started": started}

    found = kept.once("rerun", measure)
    seconds, started = sorted(found["seconds"]), found["started"]
    value = seconds[len(seconds) // 2]
    row = Row("re-run of a finished job", value, "s", f"<= {FINISHED_SECONDS}", seconds[0], seconds[-1], len(seconds))
    told = {"started": [n for n in LIBRARIES if n in started] or "neither Ray nor a model"}
    return dataclasses.replace(row, cpu={"in all": found["cpu"]}, more=told)
