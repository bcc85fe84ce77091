"""Sample: draw every planned row of a shard, decode it, and embed it for the judge, all on one device.

Batches have one fixed shape: the rows that share scheduler and steps, in the plan's order, cut every `batch_size`
rows, the last padded. A row that has failed keeps its place, so the others' bytes stay what they would have been.
"""

import copy
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline import ledger, memory, metrics, results, schema
from pipeline.cells import Cell
from pipeline.conditions import Conditions, Judge
from pipeline.diffusion import guidance
from pipeline.diffusion.noise import generators
from pipeline.diffusion.sampler import Backend, Guide
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.diffusion.schemes import subsets
from pipeline.models import checkpoint, files
from pipeline.schema import Error
from pipeline.settings import resolve
from pipeline.stages import Job, failure
from pipeline.stages.blocks import column
from pipeline.stages.columns import taken
from pipeline.stages.device import DTYPES, choose_device
from pipeline.stages.evidence import condition

PADDING = {"source": 0, "seed": 0, "size": None}


class Sample:
    """Callable on the block that `Encode` made; gives one row per planned row. See the module."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        memory.keep()
        self.settings = settings = job.settings
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.device = choose_device(settings.actors.gpus_per_sampler > 0)
        model = files.fetch(settings.model, job.provenance["model"])
        task, dtype = settings.task, DTYPES[settings.model.dtype]
        self.result = results.of(task)
        self.backend: Backend = resolve(task.backend)(model, self.device, dtype, task.options)
        judge = checkpoint.fetch_planned(settings.model.judge, job.provenance["judge"])
        self.judge: Judge = resolve(task.judge).load(str(judge), self.device)
        plan = ledger.load(settings.output)
        self.cells: dict[str, Cell] = {c.name: c for c in plan.cells} if plan else {}
        weights = [c.guidance for c in self.cells.values()]
        self.schedulers: dict[str, Any] = {}  # untouched ones: to make one takes longer than a step of a small network
        self.modalities = task.conditions
        self.subsets = subsets(settings.guidance.scheme, self.modalities, weights)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Planned rows with `drawn`, `embedding` and errors; an input's media stand in its first row only."""
        began = time.monotonic()
        failed = torch.tensor(block["error"].is_valid().to_pylist())
        evidence = {m: condition(block, m).blank(failed) for m in self.settings.task.encoders}
        inputs = zip(block["planned"].to_pylist(), block["size"].to_pylist(), strict=True)
        rows = [{**p, "source": i, "size": size} for i, (planned, size) in enumerate(inputs) for p in planned]
        drawn, embeddings, forwards = self._draw(evidence, rows)
        if self.device == "cuda":
            metrics.show_gpu_memory("sample", torch.cuda.max_memory_allocated())
        errors = self._errors(block["error"].to_pylist(), rows, embeddings)
        source = [r["source"] for r in rows]
        own: dict[str, Any] = {name: [r[name] for r in rows] for name in ("row_id", "cell", "sample_index", "seed")}
        own |= {
            "input_row": pa.array(source, pa.int32()),
            "drawn": column(drawn),
            "embedding": column(np.nan_to_num(embeddings)),
        }
        own["error"] = pa.array(errors, schema.ERROR)
        spent = {"seconds.sample": time.monotonic() - began, "forwards": forwards, "sampler": self.name}
        own |= {name: [value] * len(rows) for name, value in spent.items()}
        heavy = [c for c in block.column_names if c in self.settings.task.roles or c.startswith("keep.")]
        dropped = ["planned", "error", *_evidence_columns(block, tuple(self.settings.task.encoders))]
        first = [s if not i or source[i - 1] != s else None for i, s in enumerate(source)]
        light = taken(block.drop_columns([*dropped, *heavy]), source)
        carried = taken(block.select(heavy), first)
        return pa.table({**_columns(light), **own, **_columns(carried)})

    def _draw(
        self, evidence: Conditions, rows: Sequence[dict[str, Any]]
    ) -> tuple[NDArray[Any], NDArray[np.float32], int]:
        """(results [R, …], embeddings [R, E], rows put through the network) of all planned rows."""
        size, made, embeddings, forwards = self.settings.batch_size, [], [], 0
        places = batches([self.cells[r["cell"]].loop for r in rows], size)
        for chosen in places:
            batch = [rows[i] for i in chosen]
            batch += [{**PADDING, "cell": batch[0]["cell"]}] * (size - len(batch))
            drawn, used = self._batch(evidence, batch)
            array = self.result.array(drawn)
            made.append(array[: len(chosen)])
            # The judge sees what is stored.
            values = [self.result.value(own, row["size"]) for own, row in zip(array, batch, strict=True)]
            embedded = self.judge.embed(self.result.kind, values).cpu()
            finite = drawn.flatten(1).isfinite().all(1).cpu()
            embeddings.append(torch.where(finite[:, None], embedded, torch.nan)[: len(chosen)])
            forwards += used
        order = np.argsort(np.concatenate(places))
        return np.concatenate(made)[order], torch.cat(embeddings).numpy()[order], forwards

    def _batch(self, evidence: Conditions, batch: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, int]:
        """What the denoiser decoded [B, …] of one batch of the static shape, and the rows put through the network."""
        cells = [self.cells[r["cell"]] for r in batch]
        index = torch.tensor([r["source"] for r in batch])
        conditions = {
            m: c.rows(index).withhold(torch.tensor([m in cell.drop for cell in cells])) for m, c in evidence.items()
        }
        chosen = self.settings.guidance
        branches = guidance.branches(chosen.scheme, self.modalities, self.subsets, [c.guidance for c in cells])
        scheduler = self._scheduler(cells[0].scheduler)
        noise = generators([r["seed"] for r in batch])
        guide = Guide(branches, chosen.interval)
        drawn = self.backend.draw(conditions, noise, scheduler, cells[0].steps, guide)
        return drawn.values, drawn.forwards

    def _scheduler(self, name: str) -> Any:
        """A fresh scheduler: loops leave traces in theirs."""
        if name not in self.schedulers:
            self.schedulers[name] = make_scheduler(name, self.backend.scheduler_config)
        return copy.deepcopy(self.schedulers[name])

    def _errors(
        self, inputs: Sequence[Error | None], rows: Sequence[dict[str, Any]], embeddings: NDArray[np.float32]
    ) -> list[Error | None]:
        """Each planned row's error: its input's, or that its result is not finite."""
        finite: list[bool] = np.isfinite(embeddings).all(1).tolist()  # type: ignore[assignment]
        bad = failure("sample", FloatingPointError("the result is not finite"))
        return [inputs[r["source"]] or (None if good else bad) for r, good in zip(rows, finite, strict=True)]


def batches(loops: Sequence[tuple[str, int]], size: int) -> list[list[int]]:
    """Places of the rows that go through a sampling loop together, at most `size` of them, in the plan's order."""
    places: dict[tuple[str, int], list[int]] = {}
    for place, loop in enumerate(loops):
        places.setdefault(loop, []).append(place)
    return [own[start : start + size] for own in places.values() for start in range(0, len(own), size)]


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _evidence_columns(block: pa.Table, modalities: Sequence[str]) -> list[str]:
    return [c for c in block.column_names if c.split(".")[0] in modalities and "." in c]
