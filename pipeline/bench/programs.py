"""The programs that are held against each other, each as somebody would start it, from the first second to the last.

A steady state begins when every process that draws has done its first batch or shard: what came before is start-up.
"""

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import ledger, storage
from pipeline.bench import corpus
from pipeline.bench.drawing import Asked
from pipeline.bench.rows import Timed
from pipeline.bench.settings import Bench
from pipeline.bench.watch import ROOT, TO_ITS_END, Watch, Watched, settle, watch

MODEL = "starter:sketch_to_image"


def drawings(bench: Bench) -> Path:
    """The input of all programs that draw."""
    path = Path(bench.output, "work", f"drawings-{bench.rows}.parquet")
    return path if path.exists() else corpus.sample(path, bench.rows)


def heavy(bench: Bench, rows: int) -> Path:
    """The input of all programs whose models do nothing."""
    folder = Path(bench.output, "work", f"heavy-{rows}")
    return folder if folder.exists() else corpus.heavy(folder, rows)


def job(name: str, *arguments: str) -> list[str]:
    """The command of a job."""
    return [sys.executable, str(ROOT / "jobs" / f"{name}.py"), *arguments]


def generate_command(place: str, *more: str) -> list[str]:
    """A run of the pipeline."""
    return job("generate", f"output={place}", *more)


def guided(bench: Bench, *more: str) -> list[str]:
    """Keys of a run that draws what the loops draw."""
    weights = [f"guidance.{m}={w}" for m, w in bench.weights.items()]
    fixed = [f"seed={bench.seed}", f"batch_size={bench.batch_size}", f"shard_rows={bench.batch_size}"]
    return [f"input.path={drawings(bench)}", *weights, *fixed, *more]


def pipeline(place: str, first: int, arguments: Sequence[str], how: Watch = TO_ITS_END) -> Timed:
    """A run of the pipeline from nothing; `first` shards are done before its steady state."""
    shutil.rmtree(place, ignore_errors=True)
    return again(place, first, arguments, how)


def again(place: str, first: int, arguments: Sequence[str], how: Watch = TO_ITS_END) -> Timed:
    """A run of the pipeline that goes on from what is there."""
    settle()
    watched = watch(generate_command(place, *arguments), Path(f"{place}.log"), how)
    files = written(watched, Path(place, "data"))
    samplers = [ledger.shard_facts(str(path)).get("sampler", "") for path in files]
    return steady(watched, files, max([first, *(samplers.index(name) + 1 for name in samplers)]))


def written(watched: Watched, folder: Path) -> list[Path]:
    """Parquet files that a command wrote, in the order of time."""
    times = {path: path.stat().st_mtime for path in folder.glob("*.parquet")}
    return sorted((path for path in times if times[path] >= watched.began), key=times.__getitem__)


def steady(watched: Watched, files: Sequence[Path], first: int) -> Timed:
    """The rate at which Parquet files came into being after the `first` ones."""
    if not files:
        return _timed(watched, watched.ended, watched.ended, 0)
    ready, rows = min(first, len(files)), sum(pq.read_metadata(path).num_rows for path in files[first:])
    return _timed(watched, files[ready - 1].stat().st_mtime, files[-1].stat().st_mtime, rows)


def _timed(watched: Watched, start: float, end: float, rows: int) -> Timed:
    return Timed(
        rows,
        seconds=max(end - start, 1e-3),
        startup=start - watched.began,
        cpu=watched.cpu(start, end),
        whole=watched.ended - watched.began,
        driver=watched.peak("driver"),
        worker=watched.peak("worker"),
        total=watched.peak("total"),
        others=watched.others(start, end),
    )


def asked(bench: Bench, place: str, **other: Any) -> Asked:
    """What a program that is not the pipeline is told; the same as `guided` tells the pipeline."""
    model, weights = str(storage.filesystem(MODEL)[1]), dict(bench.weights)
    own = Asked(model, str(drawings(bench)), place, bench.rows, bench.steps, weights, bench.seed, bench.batch_size)
    return dataclasses.replace(own, **other)


def loop(module: str, told: Asked) -> Timed:
    """A loop written by hand: `plain` or `best`."""
    return _told(_python(told, f"pipeline.bench.{module}"))


def peer(told: Asked) -> Timed:
    """Ray Data without this project, drawing."""
    return _told(_python(told, "pipeline.bench.ray_map", "draw"))


def daft(told: Asked, python: str) -> Timed:
    """Daft, drawing, by the python of its environment."""
    return _told(_python(told, "pipeline.bench.daft_map", python=python))


def chain(told: Asked) -> Timed:
    """Ray Data without this project, doing nothing."""
    return _told(_python(told, "pipeline.bench.ray_map", "chain"))


def _told(watched: Watched) -> Timed:
    said = json.loads(watched.said.strip().splitlines()[-1])
    return _timed(watched, said["ready"], said["done"], said["rows"])


def _python(told: Asked, module: str, *arguments: str, python: str = sys.executable) -> Watched:
    shutil.rmtree(told.output, ignore_errors=True)
    command = [python, "-m", module, *arguments, json.dumps(dataclasses.asdict(told))]
    settle()
    return watch(command, Path(f"{told.output}.log"), Watch(threads=told.threads))
