"""The best loop: the same pictures as fast as one can write it by hand, without an engine.

Batches, all that does not change from step to step done before the loop, lossless WebP of the fastest kind; one
process with several threads, or several processes with one. `python -m pipeline.bench.best JSON` as plain.py.
"""

import io
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from pipeline import memory
from pipeline.bench.drawing import BRANCHES, Asked, Given, Parts, rows, seeds

PATIENCE = 600.0  # seconds that a process waits for the others to be ready


@torch.inference_mode()
def draw(parts: Parts, asked: Asked, batch: Sequence[Given]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pictures [B, S, S, 3]."""
    scheduler, size, count = parts.scheduler(asked.steps), len(batch), len(BRANCHES)
    own = parts.conditions([row.text for row in batch], [row.sketch for row in batch])
    conditions = {m: c.repeat(count) for m, c in own.items()}
    keep = {m: torch.tensor([m in branch for branch in BRANCHES]).repeat_interleave(size) for m in conditions}
    pulls = [asked.weights[branch[0]] for branch in BRANCHES[1:]]
    weights = torch.tensor([1 - sum(pulls), *pulls]).view(count, 1, 1, 1, 1)
    x_t = parts.noise(seeds(asked, batch)) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.scale_model_input(x_t, t).repeat(count, 1, 1, 1)
        tokens, mask, maps = parts.fusion(conditions, keep, t.expand(count * size))
        evidence = {"encoder_hidden_states": tokens, "encoder_attention_mask": mask}
        eps = parts.unet(x, t, **evidence, down_intrablock_additional_residuals=list(maps)).sample
        x_t = scheduler.step((weights * eps.unflatten(0, (count, size))).sum(0), t, x_t).prev_sample
    return parts.pixels(x_t)


def webp(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Lossless, by the fastest method."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, quality=0, method=0)
    return out.getvalue()


def work(asked: Asked, part: int, ready: Any = None) -> list[tuple[float, int]]:
    """Draw the rows of one process: when each batch was done, and its rows. The first batch warms up."""
    torch.set_num_threads(asked.threads)
    memory.keep()  # as the pipeline's workers do
    parts, given = Parts(asked.model), rows(asked, part)
    done: list[tuple[float, int]] = []
    for number in itertools.count():
        if not (batch := [*itertools.islice(given, asked.batch_size)]):
            return done
        images = [webp(pixels) for pixels in draw(parts, asked, batch)]
        table = pa.table({"id": [row.id for row in batch], "image": images})
        pq.write_table(table, Path(asked.output, f"{part}-{number:05d}.parquet"), compression="none")
        if number == 0 and ready is not None:
            ready.wait(PATIENCE)
        done.append((time.time(), len(batch)))
    raise AssertionError


def main(asked: Asked) -> dict[str, float]:
    """Draw all rows in as many processes as asked for; when all had warmed up, and when all were done."""
    Path(asked.output).mkdir(parents=True, exist_ok=True)
    if asked.processes == 1:
        done = [work(asked, 0)]
    else:
        context = multiprocessing.get_context("spawn")
        with context.Manager() as manager:
            ready = manager.Barrier(asked.processes)
            with context.Pool(asked.processes) as pool:
                done = pool.starmap(work, [(asked, part, ready) for part in range(asked.processes)])
    after = sum(count for part in done for _, count in part[1:])
    return {"ready": max(part[0][0] for part in done), "done": max(part[-1][0] for part in done), "rows": after}


if __name__ == "__main__":
    print(json.dumps(main(Asked(**json.loads(sys.argv[1])))))
