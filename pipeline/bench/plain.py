"""The plain loop: one picture after the other, as diffusers' own pipelines draw it.

The branches of guidance are concatenated, conditions are encoded once for each picture, PNG is written on the way.
`python -m pipeline.bench.plain JSON` takes a drawing.Asked and prints when it was ready and done.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline import memory
from pipeline.bench.drawing import BRANCHES, Asked, Given, Parts, rows, seeds


@torch.inference_mode()
def draw(parts: Parts, asked: Asked, given: Given) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture [S, S, 3]."""
    scheduler, count = parts.scheduler(asked.steps), len(BRANCHES)
    conditions = {m: c.repeat(count) for m, c in parts.conditions([given.text], [given.sketch]).items()}
    keep = {m: torch.tensor([m in branch for branch in BRANCHES]) for m in conditions}
    x_t = parts.noise(seeds(asked, [given])) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.scale_model_input(torch.cat([x_t] * count), t)
        tokens, mask, maps = parts.fusion(conditions, keep, t.expand(count))
        evidence = {"encoder_hidden_states": tokens, "encoder_attention_mask": mask}
        nothing, *one = parts.unet(x, t, **evidence, down_intrablock_additional_residuals=list(maps)).sample.chunk(3)
        eps = nothing.clone()
        for branch, alone in zip(BRANCHES[1:], one, strict=True):
            eps += asked.weights[branch[0]] * (alone - nothing)
        x_t = scheduler.step(eps, t, x_t).prev_sample
    return parts.pixels(x_t)[0]


def main(asked: Asked) -> dict[str, float]:
    """Draw all rows; the times at which the first was done, and the last."""
    torch.set_num_threads(asked.threads)
    memory.keep()  # as the pipeline's workers do
    parts, done = Parts(asked.model), []
    Path(asked.output).mkdir(parents=True, exist_ok=True)
    for given in rows(asked):
        Image.fromarray(draw(parts, asked, given)).save(Path(asked.output, f"{given.id}.png"))
        done.append(time.time())
    return {"ready": done[0], "done": done[-1], "rows": len(done) - 1}


if __name__ == "__main__":
    print(json.dumps(main(Asked(**json.loads(sys.argv[1])))))
