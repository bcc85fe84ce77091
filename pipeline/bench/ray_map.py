"""Peers on Ray Data, as its documentation shows batch inference: read_parquet, map_batches over a class that holds a
pipeline of diffusers, write_parquet. No ledger, no scores, no failed rows: only the pictures.

`python -m pipeline.bench.ray_map draw JSON` takes a drawing.Asked; `… ray_map chain JSON` runs, over rows of any kind,
the same chain with a class that does nothing. Both write a file for each block of `batch_size` rows.
"""

import dataclasses
import json
import sys
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline

from pipeline.bench import best
from pipeline.bench.drawing import Asked, Given, Parts, picture

CPUS = 0.7  # of an actor: with a whole one each, two would leave none to read and write with


class SketchPipeline(DiffusionPipeline):
    """The model as a pipeline of diffusers."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts

    def __call__(self, asked: Asked, batch: list[Given]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Pictures [B, S, S, 3]."""
        return best.draw(self.parts, asked, batch)


class Draw:
    """A Ray Data actor."""

    def __init__(self, asked: Asked) -> None:
        import torch

        torch.set_num_threads(asked.threads)
        self.asked, self.pipeline = asked, SketchPipeline(Parts(asked.model))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns of rows -> columns with their pictures."""
        rows = zip(batch["id"], batch["text"], batch["sketch"], strict=True)
        given = [Given(name, text, picture(sketch["bytes"])) for name, text, sketch in rows]
        images = [best.webp(pixels) for pixels in self.pipeline(self.asked, given)]
        return {"id": batch["id"], "image": np.array(images, dtype=object)}


class Nothing:
    """A Ray Data actor that gives back what it gets."""

    def __call__(self, batch: Any) -> Any:
        """The batch."""
        return batch


def chain(asked: Asked, actor: Any, columns: list[str] | None, **options: Any) -> None:
    """The whole job on a local Ray of its own."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    blocks = -(-asked.rows // asked.batch_size)
    source = ray.data.read_parquet(asked.input, columns=columns, override_num_blocks=blocks)
    done = source.map_batches(actor, batch_size=asked.batch_size, num_cpus=CPUS, concurrency=asked.processes, **options)
    done.write_parquet(asked.output)


def main(what: str, told: str) -> None:
    """One of the two jobs, on Ray as the pipeline starts it."""
    from pipeline import cluster
    from pipeline.settings import Cluster

    asked = Asked(**json.loads(told))
    with cluster.connected(Cluster(None, 300_000_000)):
        if what == "draw":
            chain(asked, Draw, ["id", "text", "sketch"], fn_constructor_args=(dataclasses.replace(asked, rows=0),))
        else:
            chain(asked, Nothing, None, batch_format="pyarrow", zero_copy_batch=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
