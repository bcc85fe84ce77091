"""What is measured or counted inside one process, at the pipeline's own sampling loop, with one thread."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline import memory, storage
from pipeline.bench import programs
from pipeline.bench.drawing import Asked, Parts, rows, seeds
from pipeline.bench.settings import Bench
from pipeline.conditions import Conditions, EncoderContext
from pipeline.conditions.clip import TextEncoder
from pipeline.conditions.sketch import SketchEncoder
from pipeline.diffusion import guidance
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.diffusion.noise import generators
from pipeline.diffusion.sampler import Guide
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.diffusion.schemes import subsets
from pipeline.models.files import Files

MODALITIES = ("sketch", "text")
Interval = tuple[float, float] | None


class Loop:
    """The pipeline's sampling loop over one batch of the embedded sample."""

    def __init__(self, bench: Bench) -> None:
        torch.set_num_threads(1)
        memory.keep()
        folder = Path(str(storage.filesystem(programs.MODEL)[1]))
        self.backend = SketchToImageBackend(Files(folder), "cpu", torch.float32, {})
        self.bench, told = bench, programs.asked(bench, "")
        self.conditions, self.seeds = batch(told, folder)

    def draw(self, scheme: str, weights: dict[str, float], steps: int, interval: Interval = None) -> int:
        """Draw the batch; the rows that went through the network."""
        size = len(self.seeds)
        needed = subsets(scheme, MODALITIES, [weights])
        branches = guidance.branches(scheme, MODALITIES, needed, [weights] * size)
        scheduler = make_scheduler("dpmpp_2m", self.backend.scheduler_config)
        return self.backend.draw(
            self.conditions, generators(self.seeds), scheduler, steps, Guide(branches, interval)
        ).forwards


def batch(told: Asked, folder: Path) -> tuple[Conditions, Sequence[int]]:
    """Evidence and seeds of the first rows of the input."""
    given = [*rows(told)][: told.batch_size]
    context = EncoderContext(str(folder), "cpu")
    text, sketch = TextEncoder.load(context), SketchEncoder.load(context)
    conditions = {"text": text([g.text for g in given]), "sketch": sketch([g.sketch for g in given])}
    return conditions, seeds(told, given)


def by_branches(bench: Bench) -> dict[str, Any]:
    """Ratios of the CPU seconds of three branches and of one, by turns; the first turn warms up."""
    loop, ratios, steps = Loop(bench), [], bench.steps
    for _ in range(bench.pairs + 1):
        three = _cpu(loop, "composed", dict(bench.weights), steps)
        ratios.append(three / _cpu(loop, "none", {}, steps))
    return {"ratios": ratios[1:]}


def _cpu(loop: Loop, scheme: str, weights: dict[str, float], steps: int) -> float:
    began = time.process_time()
    loop.draw(scheme, weights, steps)
    return time.process_time() - began


def counted(bench: Bench) -> dict[str, Any]:
    """Rows through the network with an interval, and with a branch that weighs nothing, beside what was predicted."""
    loop, size, steps = Loop(bench), bench.batch_size, bench.steps
    inside = guided_steps(Parts(programs.asked(bench, "").model), steps, bench.interval)
    alone = {"text": 1.0, "sketch": 0.0}  # composed: nothing is left of {} and {sketch}
    with_interval = loop.draw("composed", dict(bench.weights), steps, bench.interval)
    without_branches = loop.draw("composed", alone, steps)
    return {
        "predicted": size * (3 * inside + (steps - inside)) + size * steps,
        "counted": with_interval + without_branches,
        "guided steps": inside,
        "with interval": with_interval,
        "one branch": without_branches,
    }


def guided_steps(parts: Parts, steps: int, interval: tuple[float, float]) -> int:
    """Steps whose sigma = sqrt(1 / alpha_bar - 1) lies in an interval, by diffusers' own scheduler alone."""
    solver = parts.scheduler(steps)
    alpha_bar = solver.alphas_cumprod[solver.timesteps.long()]
    sigma = (1 / alpha_bar - 1).sqrt()
    return int(((interval[0] <= sigma) & (sigma <= interval[1])).sum())
