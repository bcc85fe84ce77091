"""Scores of all rows as columns, by cell and by input."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.ledger import Plan

LABELS = {
    "clip_text": "CLIP similarity to the text",
    "clip_sketch": "CLIP similarity to the sketch",
    "clip_image": "CLIP similarity to the reference",
    "sketch_f1": "sketch fidelity (F1)",
    "delta_e": "colour error (Delta E)",
    "clip_direction": "CLIP direction, as the words changed",
    "kept": "change outside the mask (Delta E)",
    "changed": "change inside the mask (Delta E)",
    "similarity_music": "similarity to the music",
    "similarity_text": "similarity to the text",
    "similarity_image": "similarity to the picture",
    "similarity_motion": "similarity to the reference",
    "word_f1": "words in common with the reference (F1)",
    "beat_alignment": "beat alignment",
    "beat_alignment_null": "beat alignment out of phase",
    "foot_contact": "foot contact (PFC)",
    "foot_skating": "foot skating",
    "bone_deviation": "deviation of bone lengths",
    "jerk": "jerk (m/s³)",
}
LESS_IS_BETTER = frozenset(
    {"delta_e", "kept", "foot_contact", "foot_skating", "bone_deviation", "jerk"}
)  # of the scores that come with the pipeline; best_by="-name" says it of others


@dataclasses.dataclass(frozen=True)
class Scores:
    """Columns source_id, cell and scores of all rows of a run."""

    plan: Plan
    table: pa.Table

    @property
    def names(self) -> tuple[str, ...]:
        """The task's scores, the one that ranks rows first."""
        return tuple(sorted(self.plan.identity["task"]["scores"], key=lambda name: name != self.best_by))

    @property
    def best_by(self) -> str:
        """The score that ranks rows."""
        return str(self.plan.identity["task"]["best_by"]).removeprefix("-")

    def sign(self, score: str) -> int:
        """1 for a score of which more is better, else -1."""
        if score == self.best_by:
            return -1 if self.plan.identity["task"]["best_by"].startswith("-") else 1
        return -1 if score in LESS_IS_BETTER else 1

    def values(self, score: str) -> NDArray[np.float32]:
        """Values of a score [rows], NaN where missing."""
        column = pc.struct_field(self.table["scores"], score)
        return np.asarray(pc.fill_null(column, math.nan).to_numpy(), dtype=np.float32)

    def by_cell(self, score: str) -> dict[str, NDArray[np.float32]]:
        """Values of a score for each cell [rows], NaN where missing."""
        values, cells = self.values(score), self.table["cell"].to_numpy()
        return {cell.name: values[cells == cell.name] for cell in self.plan.cells}

    def by_input(self, score: str) -> dict[str, NDArray[np.float64]]:
        """Mean of each input's finite values [inputs] in each cell, NaN where it has none; one order for all cells."""
        inputs = pc.dictionary_encode(self.table["source_id"]).combine_chunks()
        number, count = inputs.indices.to_numpy(), len(inputs.dictionary)
        values, cells = self.values(score), self.table["cell"].to_numpy()
        found = {}
        for cell in self.plan.cells:
            here = np.isfinite(values) & (cells == cell.name)
            sums = np.bincount(number[here], values[here].astype(np.float64), count)
            rows = np.bincount(number[here], minlength=count)
            found[cell.name] = np.where(rows > 0, sums / np.maximum(rows, 1), math.nan)
        return found

    def ranked(self) -> list[str]:
        """Ids of the rows that have the score `best_by`, best first."""
        values = self.sign(self.best_by) * self.values(self.best_by)
        order = np.argsort(-values, kind="stable")[: int(np.isfinite(values).sum())]
        return [str(name) for name in self.table["row_id"].take(pa.array(order)).to_pylist()]


def label(score: str) -> str:
    """A score in words."""
    return LABELS.get(score, score)
