"""Encode: decode the media of a shard's inputs and turn them into evidence, once per input.

Everything that is wrong with an input's own content becomes that row's error here. The encoders see batches
of one fixed shape, so that no row's evidence depends on how many others there are.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline import memory, results, schema
from pipeline.conditions import Condition, Encoder, EncoderContext, Judge
from pipeline.kinds import judged
from pipeline.models import checkpoint, files
from pipeline.settings import resolve
from pipeline.stages import Job
from pipeline.stages.blocks import column
from pipeline.stages.decode import decode
from pipeline.stages.device import DTYPES, choose_device
from pipeline.stages.evidence import condition_columns


class Encode:
    """Callable on the block that `Load` made; adds evidence, judge embeddings and errors. See the module."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        memory.keep()
        self.settings = settings = job.settings
        device = choose_device(settings.actors.gpus_per_encoder > 0)
        model = files.fetch(settings.model, job.provenance["model"])
        self.task = task = settings.task
        context = EncoderContext(
            str(model.folder),
            device,
            options=task.options,
            dtype=DTYPES[settings.model.dtype],
            loras=model.loras,
            trust_pickle=model.trust_pickle,
        )
        self.encoded = 0  # values that went through an encoder
        self.result = results.of(task)
        self.encoders: dict[str, Encoder] = {m: resolve(e).load(context) for m, e in task.encoders.items()}
        judge = checkpoint.fetch_planned(settings.model.judge, job.provenance["judge"])
        self.judge: Judge = resolve(task.judge).load(str(judge), device)

    @torch.no_grad()
    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with columns `<condition>.*`, `judge.<role>`, `present.<role>`, `size` and filled-in errors."""
        began, encoded = time.monotonic(), self.encoded
        values, errors = decode(block, self.task.roles, self.task.conditions, self.task.required)
        sizes = self._fit(values)
        added: dict[str, Any] = {"size": pa.array(sizes, pa.int32())}
        for name, encoder in self.encoders.items():
            added |= condition_columns(name, self._batched(encoder, values[name]))
        for role in judged(self.task.roles):
            added[f"judge.{role}"] = column(self._judge(self.task.roles[role], values[role]))
        for role in self.task.roles:
            added[f"present.{role}"] = pa.array([v is not None for v in values[role]])
        table = block.set_column(block.column_names.index("error"), "error", pa.array(errors, schema.ERROR))
        for name, array in added.items():
            table = table.append_column(name, array)
        table = table.append_column("encoded", pa.array([self.encoded - encoded] * len(table)))
        return table.append_column("seconds.encode", pa.array([time.monotonic() - began] * len(table)))

    def _fit(self, values: dict[str, list[Any]]) -> list[int | None]:
        """The size of each row's result, where its input decides that; the input's values are fitted to it."""
        sizes = [self.result.size(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]
        for role, own in values.items():
            for row, size in enumerate(sizes):
                if size is not None and own[row] is not None:
                    own[row] = self.result.fitted(self.task.roles[role], own[row], size)
        return sizes

    def _batched(self, encoder: Encoder, values: Sequence[Any]) -> Condition:
        """Evidence of all values, in batches of the settings' size; the last one is padded with missing values."""
        size = self.settings.batch_size
        self.encoded += len(values)
        padded = [*values, *[None] * (-len(values) % size)]
        found = [encoder(padded[i : i + size]) for i in range(0, len(values), size)]
        joined = Condition(
            tokens=torch.cat([c.tokens for c in found]),
            mask=torch.cat([c.mask for c in found]),
            pooled=torch.cat([c.pooled for c in found]),
            maps=tuple(torch.cat(level) for level in zip(*(c.maps for c in found), strict=True)),
            present=torch.cat([c.present for c in found]),
        )
        return joined.each(lambda t: t[: len(values)])

    def _judge(self, kind: str, values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Embeddings [N, E] in the judge's space; zeros for missing values."""
        size = self.settings.batch_size
        padded = [*values, *[None] * (-len(values) % size)]
        rows: list[Tensor] = []
        for start in range(0, len(values), size):
            batch = padded[start : start + size]
            embedded = self.judge.embed(kind, batch)
            rows.append(embedded.cpu() * torch.tensor([[v is not None] for v in batch]))
        return torch.cat(rows)[: len(values)].numpy()
