"""Safe: a classifier judges each drawn picture, where settings name one, on the sampler's device."""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch

from pipeline import schema
from pipeline.media import Pixels
from pipeline.models import checkpoint
from pipeline.models.classifier import Classifier
from pipeline.schema import Error
from pipeline.stages import Job
from pipeline.stages.blocks import array
from pipeline.stages.device import choose_device

Verdict = tuple[bool, float, str]  # schema.SAFETY: unsafe, probability of the unsafe labels, likeliest label


class Safe:
    """Callable on the block that `Sample` made; adds schema.SAFETY, and errors where unsafe rows are to fail."""

    def __init__(self, job: Job) -> None:
        self.safety, self.size = job.settings.safety, job.settings.batch_size
        folder = checkpoint.fetch_planned(str(self.safety.classifier), job.provenance["safety"])
        self.classifier = Classifier.load(folder, choose_device(job.settings.actors.gpus_per_sampler > 0))
        self.columns = [self.classifier.labels.index(label) for label in self.safety.unsafe]

    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with a verdict on each row that has no error."""
        began = time.monotonic()
        errors: list[Error | None] = block["error"].to_pylist()
        verdicts = self._verdicts(list(array(block, "drawn")))
        kept = [None if error else verdict for verdict, error in zip(verdicts, errors, strict=True)]
        for i, field in enumerate(schema.SAFETY):
            block = block.append_column(field, pa.array([v and v[i] for v in kept], field.type))
        if self.safety.on_unsafe == "fail":
            failed = [e or (_error(v) if v and v[0] else None) for e, v in zip(errors, kept, strict=True)]
            block = block.set_column(block.column_names.index("error"), "error", pa.array(failed, schema.ERROR))
        return block.append_column("seconds.safe", pa.array([time.monotonic() - began] * len(block)))

    def _verdicts(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        """In batches of one size, the last padded with its first picture: no verdict depends on how many there are."""
        found: list[Verdict] = []
        for start in range(0, len(pictures), self.size):
            batch = list(pictures[start : start + self.size])
            probabilities = self.classifier(batch + batch[:1] * (self.size - len(batch)))[: len(batch)]
            found += [self._verdict(row) for row in probabilities]
        return found

    def _verdict(self, row: torch.Tensor) -> Verdict:
        exclusive = self.classifier.network.config.problem_type != "multi_label_classification"
        chosen = row[self.columns]
        score = float(chosen.sum() if exclusive else chosen.max())
        return score >= self.safety.threshold, score, self.classifier.labels[int(row.argmax())]


def _error(verdict: Verdict) -> dict[str, Any]:
    return {"stage": "safe", "kind": "Unsafe", "message": f"{verdict[2]}, unsafe by {verdict[1]:.2f}"}
