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

from pipeline import media, schema
from pipeline.conditions import Condition, Encoder, EncoderContext
from pipeline.conditions.clip import Clip, to_unit
from pipeline.models import checkpoint
from pipeline.settings import resolve
from pipeline.stages import Job
from pipeline.stages.blocks import column
from pipeline.stages.decode import decode
from pipeline.stages.device import choose_device
from pipeline.stages.evidence import condition_columns


class Encode:
    """Callable on the block that `Load` made; adds evidence, judge embeddings and errors. See the module."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        self.settings = settings = job.settings
        device = choose_device(settings.actors.gpus_per_encoder > 0)
        folder = str(checkpoint.fetch_planned(settings.model.path, job.provenance["model"]))
        context = EncoderContext(folder, device)
        self.encoded = 0  # values that went through an encoder
        self.encoders: dict[str, Encoder] = {m: resolve(e).load(context) for m, e in settings.task.encoders.items()}
        self.judge = Clip.load(str(checkpoint.fetch_planned(settings.model.judge, job.provenance["judge"])), device)

    @torch.no_grad()
    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with columns `<condition>.*`, `judge.<role>`, `present.<role>` and filled-in errors."""
        began, encoded = time.monotonic(), self.encoded
        values, errors = decode(block, self.settings.task.roles, self.settings.task.conditions)
        added: dict[str, Any] = {}
        for name, encoder in self.encoders.items():
            added |= condition_columns(name, self._batched(encoder, values[name]))
        for role, kind in self.settings.task.roles.items():
            added[f"judge.{role}"] = column(self._judge(kind, values[role]))
            added[f"present.{role}"] = pa.array([v is not None for v in values[role]])
        table = block.set_column(block.column_names.index("error"), "error", pa.array(errors, schema.ERROR))
        for name, array in added.items():
            table = table.append_column(name, array)
        table = table.append_column("encoded", pa.array([self.encoded - encoded] * len(table)))
        return table.append_column("seconds.encode", pa.array([time.monotonic() - began] * len(table)))

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
            embedded = embed(self.judge, kind, batch)
            rows.append(embedded.cpu() * torch.tensor([[v is not None] for v in batch]))
        return torch.cat(rows)[: len(values)].numpy()


def embed(judge: Clip, kind: str, values: Sequence[Any]) -> Tensor:
    """Embeddings [B, E] in the judge's space of B decoded values of one kind of media; of padding where one is None."""
    if kind == "text":
        return judge.embed_texts([v or "" for v in values])[2]
    side = judge.image_size
    white = np.full((side, side, 3), 255, np.uint8)
    return judge.embed_images(to_unit([white if v is None else media.as_rgb(media.fit(v, side)) for v in values]))
