"""Peers on Ray Data, as its documentation shows batch inference: read_parquet, map_batches over a class that holds a
pipeline of diffusers, write_parquet. No ledger, no scores, no failed rows: only the pictures.

`python -m pipeline.bench.ray_map draw JSON` takes a drawing.Asked; `… ray_map chain JSON` runs, over rows of any kind,
the same chain with a class that does nothing. Their actors note when each batch was done, in OUT.notes.
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


class Nothing:
    """A Ray Data actor that gives back what it gets."""

    def __init__(self, asked: Asked) -> None:
        self.notes = Notes(asked.output)

    def __call__(self, batch: Any) -> Any:
        """The batch."""
        self.notes.add(len(batch))
        return batch


def chain(asked: Asked, actor: Any, columns: list[str] | None, **options: Any) -> None:
    """The whole job."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = -(-asked.rows // asked.batch_size)
    source = ray.data.read_parquet(asked.input, override_num_blocks=blocks, ray_remote_args=LIGHT)
    source = source.select_columns(columns) if columns else source
    actors = {"num_cpus": CPUS, "concurrency": asked.processes, "fn_constructor_args": (asked,)}
    source.map_batches(actor, batch_size=asked.batch_size, **actors, **options).write_parquet(
        asked.output, ray_remote_args=LIGHT
    )


def main(what: str, told: str) -> dict[str, float]:
    """One of the two jobs, on a local Ray as the pipeline starts it."""
    from pipeline import cluster
    from pipeline.settings import Cluster, resolve

    asked = Asked(**json.loads(told))
    notes = Notes(asked.output)
    shutil.rmtree(notes.folder, ignore_errors=True)
    notes.folder.mkdir(parents=True)
    with cluster.connected(Cluster(None, 300_000_000)):
        # By name, or Ray would send a copy of this file's globals.
        if what == "draw":
            chain(asked, resolve("pipeline.bench.ray_map:Draw"), ["id", "text", "sketch"])
        else:
            actor = resolve("pipeline.bench.ray_map:Nothing")
            chain(asked, actor, None, batch_format="pyarrow", zero_copy_batch=True)
        return notes.steady(time.time())


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
