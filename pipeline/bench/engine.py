"""Rows of the table that measure the engine alone, on models that do nothing (noop.py), and what a kill costs; each
function is one row."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.bench import noop, programs
from pipeline.bench.programs import generate_command, guided, heavy
from pipeline.bench.rows import Kept, Row, Timed, by_turns, middle, pairs, single
from pipeline.bench.settings import Bench
from pipeline.bench.watch import BenchError, Watch, settle, watch

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
        given = str(heavy(bench, bench.engine_rows))
        return programs.chain(programs.asked(bench, place, input=given, rows=bench.engine_rows))

    own = by_turns(bench, kept, "no_op", ours, theirs)
    ratio = pairs("", "", "", own, ("pipeline", "plain Ray Data chain"))
    rates = [a.rate for a, _ in own]
    most = bench.engine_rows / (middle(a.whole for a, _ in own) - _empty(bench, kept))
    more = {**ratio.more, "pipeline / chain": [ratio.value, ratio.least, ratio.most]}
    more["rows/s of the pipeline from plan to audit, less a run of one shard"] = most
    value = float(ratio.more["rows/s, pipeline"])
    name = f"no-op models, {bench.engine_rows:,} rows of 8-10 kB"
    return Row(name, value, "rows/s", ">= 5000", min(rates), max(rates), len(rates), ratio.cpu, more)


def _empty(bench: Bench, kept: Kept) -> float:
    """Seconds of a run of one shard: what any run needs to start and to end."""
    one = f"limit={bench.engine_shard_rows}"
    return middle(t.whole for t in _repeated(bench, kept, "engine-one", keys(bench, bench.growth[0], one)))


def _repeated(bench: Bench, kept: Kept, name: str, told: list[str]) -> list[Timed]:
    """Runs of the same command, each from nothing."""
    measure = functools.partial(programs.pipeline, kept.place(name), WARM, told)
    return [kept.timed(f"{name}-{k}", measure) for k in range(bench.pairs)]


def growth(bench: Bench, kept: Kept) -> list[Row]:
    """Time of a row, from plan to audit, and peak memory of runs of many rows, beside runs of few."""
    few, *many = bench.growth
    told = {count: keys(bench, count) for count in bench.growth}
    base, empty = _repeated(bench, kept, f"growth-{few}", told[few]), _empty(bench, kept)
    seconds = [(t.whole - empty) / few for t in base]
    made = []
    for count, bound in zip(many, (1.10, 1.20), strict=False):
        place = kept.place(f"growth-{count}")
        own = kept.timed(f"growth-{count}", functools.partial(programs.pipeline, place, WARM, told[count]))
        ratios = sorted((own.whole - empty) / count / one for one in seconds)
        name, more = f"{count // few} x the rows: time of a row", {"rows": [few, count], "s of a start": empty}
        value, cpu = middle(ratios), {"in the steady state": own.cpu / own.rows}
        made.append(Row(name, value, "times", "<= 1.05", ratios[0], ratios[-1], len(ratios), cpu, more))
        made.append(_memory(f"{count // few} x the rows: peak memory of a process", base, own, bound))
    return made


def _memory(name: str, base: list[Timed], own: Timed, bound: float) -> Row:
    """The larger ratio of the driver's and of the largest worker's."""
    less = {what: middle(getattr(t, what) for t in base) for what in ("driver", "worker", "total")}
    more = {f"MB, {what}": [value, getattr(own, what)] for what, value in less.items()}
    value = max(own.driver / less["driver"], own.worker / less["worker"])
    return single(name, value, "times", f"<= {bound:g}", **more)


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
    cut = programs.pipeline(place, bench.workers, keys, Watch(until=_has(place, half)))
    again = programs.again(place, 1, keys)
    if _images(place) != _images(alone):
        raise BenchError(f"{place} differs from {alone}")
    # To start is what comes before the first shards, less the time that these take.
    startup = again.startup - bench.workers * bench.batch_size / whole.rate
    return {"whole": whole.whole, "until killed": cut.whole, "resumed": again.whole, "start-up": startup}


def _images(place: str) -> dict[str, bytes]:
    """Pictures of a run by row."""
    found = pq.read_table(Path(place, "data"), columns=["row_id", "image"]).to_pylist()
    return {row["row_id"]: row["image"]["bytes"] for row in found}


def _has(place: str, shards: int) -> Callable[[], bool]:
    return lambda: len([*Path(place, "data").glob("*.parquet")]) >= shards


def rerun(bench: Bench, kept: Kept) -> list[Row]:
    """The command of a finished run once more: of a run of one batch, and of the largest that was measured."""
    few, many = kept.place("rerun"), kept.place(f"growth-{bench.growth[-1]}")
    small = [*guided(bench), "steps=1", f"limit={bench.batch_size}", "actors.samplers=1"]

    def one() -> dict[str, Any]:
        programs.pipeline(few, 1, small)
        return _rerun(bench, few, small)

    made = [_finished("a job", kept.once("rerun", one))]
    if Path(many, "_SUCCESS").exists():
        large = kept.once("rerun-large", lambda: _rerun(bench, many, keys(bench, bench.growth[-1])))
        made.append(_finished(f"a job of {bench.growth[-1]:,} rows", large))
    return made


def _rerun(bench: Bench, place: str, told: list[str]) -> dict[str, Any]:
    """Seconds of each time. Raises BenchError if a model or Ray was started."""
    found = []
    for _ in range(bench.pairs):
        settle()
        found.append(watch(generate_command(place, *told), Path(f"{place}-again.log"), Watch(libraries=True)))
    if started := set().union(*(watched.libraries for watched in found)):
        raise BenchError(f"the command of a finished job loaded {', '.join(sorted(started))}")
    return {"seconds": [w.ended - w.began for w in found], "cpu": middle(w.cpu(w.began, w.ended) for w in found)}


def _finished(name: str, found: Mapping[str, Any]) -> Row:
    seconds = sorted(found["seconds"])
    told = {"CPU s in all": found["cpu"], "started": "neither Ray nor a model"}
    value, most = middle(seconds), f"< {FINISHED_SECONDS}"
    return Row(f"re-run of {name} that is finished", value, "s", most, seconds[0], seconds[-1], len(seconds), more=told)
