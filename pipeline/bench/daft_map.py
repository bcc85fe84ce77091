"""A peer on Daft, as its documentation shows batch inference with a class: read_parquet, a batch method of a class that
holds a pipeline of diffusers, write_parquet. No ledger, no scores, no failed rows: only the pictures.

`python -m pipeline.bench.daft_map JSON` takes a drawing.Asked. Daft wants an older pyarrow than the pipeline, so it
runs in an environment of its own (docs/benchmarks.md).
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from pipeline import memory
from pipeline.bench import best
from pipeline.bench.drawing import Asked, Given, Parts, picture
from pipeline.bench.ray_map import Notes, SketchPipeline


class Draw:
    """What each process of Daft holds."""

    def __init__(self, asked: Asked) -> None:
        import torch

        torch.set_num_threads(asked.threads)
        memory.keep()  # as the pipeline's workers do
        self.asked, self.pipeline = asked, SketchPipeline(Parts(asked.model))
        self.notes = Notes(asked.output)

    def draw(self, ids: Any, texts: Any, sketches: Any) -> Sequence[bytes]:
        """Files of a batch of pictures."""
        rows = zip(ids.to_pylist(), texts.to_pylist(), sketches.to_pylist(), strict=True)
        given = [Given(name, text, picture(sketch["bytes"])) for name, text, sketch in rows]
        images = [best.webp(pixels) for pixels in self.pipeline(self.asked, given)]
        self.notes.add(len(given))
        return images


def main(told: str) -> dict[str, float]:
    """The whole job, on Daft's runner for one machine; when all processes were ready, and when all was done."""
    import daft

    asked = Asked(**json.loads(told))
    notes = Notes(asked.output)
    notes.fresh()
    batched = daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=asked.batch_size)(Draw.draw)
    drawers = daft.cls(type("Drawers", (Draw,), {"draw": batched}), max_concurrency=asked.processes, use_process=True)
    drawer = drawers(asked)
    rows = daft.read_parquet(asked.input).into_batches(asked.batch_size)
    image = drawer.draw(rows["id"], rows["text"], rows["sketch"])
    rows.select(rows["id"], image.alias("image")).write_parquet(asked.output, compression="none")
    return notes.steady(time.time())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
