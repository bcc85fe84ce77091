"""What the training loop costs beside a plain torch loop: python -m tests.train_overhead FOLDER STAGE …

Both train the same network by turns in the same process, a few steps each, on one Ray Train worker: the loop on Ray
Data's batches with all that it notes, the plain one on batches that lie decoded in memory. What belongs to the recipe
(autocast, clipping, AdamW, averaged weights) both do. FOLDER/overhead.json has the figures: medians over the turns of
milliseconds a step, by the clock and of the process's CPU time, and of what the loop takes more, in percent.
"""

import dataclasses
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from torch import nn

from pipeline import cluster
from pipeline.build import build
from pipeline.settings import resolve
from pipeline.train.data import Batch, passes, rows
from pipeline.train.loop import Run
from pipeline.train.settings import Train
from tests import tiny
from tests.test_train import settings

ROWS, PASSES, TURNS = 512, 16, 8
STARTER = "starter:sketch_to_image"
STAGES = {  # arguments, steps of a turn
    "align": (
        [
            *("stage.options.image_size=64", "stage.options.width=128", "stage.options.layers=4"),
            *("stage.options.text_width=128", "stage.options.text_layers=3", "optimiser.batch_size=64"),
        ],
        8,
    ),
    "autoencode": (["stage.options.image_size=64", "stage.options.channels=32", "stage.options.blocks=2"], 5),
    "denoise": (
        [
            *("stage.options.image_size=64", "stage.options.channels=[64,128,192]", "optimiser.batch_size=16"),
            *(f"stage.options.clip={STARTER}/clip", f"stage.options.vae={STARTER}/vae"),
        ],
        4,
    ),
}


def plain(run: Run, batches: Iterator[Batch], steps: int) -> None:
    """A loop as one writes it by hand."""
    state, options = run.state, run.settings.optimiser
    generator = torch.Generator().manual_seed(0)
    for batch in itertools.islice(batches, steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = run.stage.loss(run.trainer.network, batch, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(state.parameters, options.clip_norm)
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(state.average, state.parameters, 0.001)
        loss.item()


def timed(work: Callable[[], Any], steps: int) -> tuple[float, float]:
    """(milliseconds by the clock, of CPU time) of each step."""
    wall, used = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - wall) / steps, 1000 * (time.process_time() - used) / steps


def measure(config: dict[str, Any]) -> None:
    """A Ray Train worker."""
    given, steps = build(Train, config["settings"]), int(config["steps"])
    torch.set_num_threads(1)
    torch.backends.cuda.enable_flash_sdp(False)
    run = Run(given, ROWS)
    run.state.network.train()
    groups = itertools.chain.from_iterable(run._groups() for _ in itertools.count())
    decoded = itertools.cycle(group[0] for group in list(itertools.islice(groups, 4)))
    turns = []
    for turn in range(TURNS + 1):
        ours = timed(lambda: run._part(itertools.islice(groups, steps)), steps)
        theirs = timed(lambda: plain(run, decoded, steps), steps)
        if turn:  # the first warms up
            turns.append((ours, theirs))
    Path(config["turns"]).write_text(json.dumps(turns))  # Ray Train keeps no figures without a checkpoint


def overhead(stage: str, folder: Path) -> dict[str, float]:
    """The figures of a stage."""
    more, steps = STAGES[stage]
    from tests.train_overhead import measure as by_name  # or Ray would send a copy of this file's globals

    pairs = tiny.write(folder / "pairs.parquet", tiny.rows(ROWS), row_group_rows=64)
    given = settings(stage, str(pairs), str(folder / stage), *more)
    reader = resolve(given.stage.factory).reader(given.stage.options)
    train = passes(rows(given.input, None, reader, seed=0).materialize(), PASSES)
    notes = folder / f"{stage}.json"
    TorchTrainer(
        by_name,
        train_loop_config={"settings": dataclasses.asdict(given), "steps": steps, "turns": str(notes)},
        scaling_config=ScalingConfig(num_workers=1),
        datasets={"train": train},
        run_config=RunConfig(storage_path=str(folder / "ray")),
    ).fit()
    turns = json.loads(notes.read_text())
    found: dict[str, float] = {}
    for index, clock in enumerate(("wall", "cpu")):
        found[f"{clock}_plain_ms"] = statistics.median(theirs[index] for _, theirs in turns)
        found[f"{clock}_loop_ms"] = statistics.median(ours[index] for ours, _ in turns)
        found[f"{clock}_overhead_percent"] = 100 * statistics.median(
            ours[index] / theirs[index] - 1 for ours, theirs in turns
        )
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    with cluster.connected(settings("align", "x", str(place)).cluster):
        made = {stage: overhead(stage, place) for stage in sys.argv[2:] or STAGES}
    (place / "overhead.json").write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made, indent=1))
