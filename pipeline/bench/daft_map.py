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

from pipeline.bench import ray_map
from pipeline.bench.drawing import Asked


class Draw(ray_map.Draw):
    """What each process of Daft holds: what Ray Data's actors hold."""

    def draw(self, ids: Any, texts: Any, sketches: Any) -> Sequence[bytes]:
        """Files of a batch of pictures."""
        batch = {"id": ids.to_pylist(), "text": texts.to_pylist(), "sketch": sketches.to_pylist()}
        return list(self(batch)["image"])


def main(told: str) -> dict[str, float]:
    """The whole job, on Daft's runner for one machine; when all processes were ready, and when all was done."""
    import daft

    asked = Asked(**json.loads(told))
    notes = ray_map.Notes(asked.output)
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
