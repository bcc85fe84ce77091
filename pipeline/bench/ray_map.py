"""Peers on Ray Data, as its documentation shows batch inference: read_parquet, map_batches over a class that holds a
pipeline of diffusers, write_parquet. No ledger, no scores, no failed rows: only the pictures.

`python -m pipeline.bench.ray_map draw JSON` takes a drawing.Asked; `… ray_map chain JSON` runs, over rows of any kind,
the same chain with a function that does nothing. Actors that draw note when each batch was done, in OUT.notes.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline

from pipeline import memory
from pipeline.bench import best
from pipeline.bench.drawing import Asked, Given, Parts, picture
from pipeline.settings import Cluster, resolve

CPUS = 0.75  # of an actor: with a whole one each, two would leave none to read and write with
LIGHT = {"num_cpus": 0.25}  # of a task that reads or writes: by default it wants a whole one, and would wait for ever


class SketchPipeline(DiffusionPipeline):
    """The model as a pipeline of diffusers."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts

    def __call__(self, asked: Asked, batch: list[Given]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Pictures [B, S, S, 3]."""
        return best.draw(self.parts, asked, batch)


class Notes:
    """When batches were done, by process: files of lines "Unix seconds, rows"."""

    def __init__(self, output: str) -> None:
        self.folder = Path(f"{output}.notes")

    def fresh(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def add(self, rows: int) -> None:
        """A batch is done."""
        with (self.folder / str(os.getpid())).open("a") as file:
            file.write(f"{time.time()} {rows}\n")

    def steady(self, done: float) -> dict[str, float]:
        """From when every process had done its first batch until all was done."""
        own = [[line.split() for line in path.read_text().splitlines()] for path in self.folder.iterdir()]
        ready = max(float(lines[0][0]) for lines in own)
        rows = sum(int(count) for lines in own for when, count in lines if float(when) > ready)
        return {"ready": ready, "done": done, "rows": rows}


class Draw:
    """A Ray Data actor."""

    def __init__(self, asked: Asked) -> None:
        import torch

        torch.set_num_threads(asked.threads)
        memory.keep()  # as the pipeline's workers do
        self.asked, self.pipeline = asked, SketchPipeline(Parts(asked.model))
        self.notes = Notes(asked.output)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns of rows -> columns with their pictures."""
        rows = zip(batch["id"], batch["text"], batch["sketch"], strict=True)
        given = [Given(name, text, picture(sketch["bytes"])) for name, text, sketch in rows]
        images = [best.webp(pixels) for pixels in self.pipeline(self.asked, given)]
        self.notes.add(len(given))
        return {"id": batch["id"], "image": np.array(images, dtype=object)}


def nothing(batch: Any) -> Any:
    """A batch as it is."""
    return batch


def draw(asked: Asked) -> dict[str, float]:
    """The whole job, with actors that draw; when all had drawn, and when all was done."""
    import ray

    notes = Notes(asked.output)
    notes.fresh()
    blocks = -(-asked.rows // asked.batch_size)
    source = ray.data.read_parquet(asked.input, override_num_blocks=blocks, ray_remote_args=LIGHT)
    actors = {"num_cpus": CPUS, "concurrency": asked.processes, "fn_constructor_args": (asked,)}
    # By name, or Ray would send a copy of this file's globals.
    drawn = source.select_columns(["id", "text", "sketch"]).map_batches(
        resolve("pipeline.bench.ray_map:Draw"), batch_size=asked.batch_size, **actors
    )
    drawn.write_parquet(asked.output, ray_remote_args=LIGHT)
    return notes.steady(time.time())


def chain(asked: Asked) -> dict[str, float]:
    """The whole job, with a function that does nothing, which Ray Data joins with reading and writing; before it, one
    file, after which all processes are there."""
    [first, *_] = sorted(Path(asked.input).glob("*.parquet"))
    _copied(str(first), f"{asked.output}.first")
    ready = time.time()
    _copied(asked.input, asked.output)
    return {"ready": ready, "done": time.time(), "rows": asked.rows}


def _copied(source: str, output: str) -> None:
    import ray

    same = ray.data.read_parquet(source).map_batches(
        nothing, batch_size=None, batch_format="pyarrow", zero_copy_batch=True
    )
    same.write_parquet(output, compression="none", mode=ray.data.SaveMode.OVERWRITE)


def main(what: str, told: str) -> dict[str, float]:
    """One of the two jobs, on a local Ray as the pipeline starts it."""
    import ray

    from pipeline import cluster

    with cluster.connected(Cluster(None, 300_000_000)):
        ray.data.DataContext.get_current().enable_progress_bars = False
        return {"draw": draw, "chain": chain}[what](Asked(**json.loads(told)))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
