"""Safety: a classifier looks at every result of a shard, on the sampler's device, where settings name one.

Its verdicts become columns; what is unsafe stays, is blanked when it is encoded (finish.py), or fails here. Pictures
go through it in batches of one fixed shape, so that no verdict depends on how many others there are.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline import memory, results, schema
from pipeline.media import Pixels
from pipeline.models import checkpoint
from pipeline.models.classifier import Classifier, Verdict
from pipeline.schema import Error
from pipeline.stages import Job, failure
from pipeline.stages.blocks import array
from pipeline.stages.device import choose_device


class UnsafeError(ValueError):
    """A result that settings want to fail; the message says what it is."""


class Screen:
    """Callable on the block that `Sample` made; adds schema.SAFETY. See the module."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)
        memory.keep()
        self.safety, self.size = job.settings.safety, job.settings.batch_size
        self.result = results.of(job.settings.task)
        folder = checkpoint.fetch_planned(str(self.safety.classifier), job.provenance["classifier"])
        device = choose_device(job.settings.actors.gpus_per_sampler > 0)
        self.classifier = Classifier(folder, device, self.safety.unsafe)

    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with the verdicts, null for rows that had failed before, and what follows from them."""
        began = time.monotonic()
        drawn, errors = array(block, "drawn"), block["error"].to_pylist()
        values = [self.result.value(*row) for row in zip(drawn, block["size"].to_pylist(), strict=True)]
        values = [np.zeros_like(v) if e else v for v, e in zip(values, errors, strict=True)]  # see stages/guard.py
        verdicts = [None if e else v for v, e in zip(self._verdicts(values), errors, strict=True)]
        made: dict[str, Any] = {"unsafe": [None if v is None else v.score >= self.safety.threshold for v in verdicts]}
        made |= {f"safety_{name}": [v and getattr(v, name) for v in verdicts] for name in ("score", "label")}
        added = {field.name: pa.array(made[field.name], field.type) for field in schema.SAFETY}
        added["error"] = pa.array([e or self._error(v) for e, v in zip(errors, verdicts, strict=True)], schema.ERROR)
        added["seconds.safety"] = pa.array([time.monotonic() - began] * len(block))
        return pa.table(dict(zip(block.column_names, block.columns, strict=True)) | added)

    def _verdicts(self, values: Sequence[Pixels]) -> list[Verdict]:
        """On all pictures; the last batch is padded with its last picture."""
        padded = [*values, *[values[-1]] * (-len(values) % self.size)]
        found = [v for i in range(0, len(padded), self.size) for v in self.classifier(padded[i : i + self.size])]
        return found[: len(values)]

    def _error(self, verdict: Verdict | None) -> Error | None:
        """Why a row fails by its verdict: what cannot be judged is not passed on as safe."""
        if verdict is None:
            return None
        if math.isnan(verdict.score):
            return failure("safety", FloatingPointError("the classifier's answer is not finite"))
        if self.safety.on_unsafe == "fail" and verdict.score >= self.safety.threshold:
            said = f"the result is unsafe: {verdict.label}, score {verdict.score:.3f}"
            return failure("safety", UnsafeError(said))
        return None
