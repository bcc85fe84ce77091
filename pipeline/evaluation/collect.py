"""The stored columns of a run that its evaluation needs: one entry per row that went well."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.settings import SettingsError


@dataclasses.dataclass(frozen=True)
class Rows:
    """N rows as columns."""

    source_id: tuple[str, ...]
    group: tuple[tuple[str, ...], ...]  # values of the columns by which figures are grouped
    scores: dict[str, NDArray[np.float32]]  # [N], NaN where missing
    embedding: NDArray[np.float32]  # [N, E] of results, in the judge's space
    reference: NDArray[np.float32]  # [N, E] of reference pictures, NaN where there is none
    images: tuple[bytes, ...]  # encoded results, if asked for

    def take(self, index: Sequence[int]) -> "Rows":
        """Some of the rows."""
        at = list(index)
        return Rows(
            source_id=tuple(self.source_id[i] for i in at),
            group=tuple(self.group[i] for i in at),
            scores={name: values[at] for name, values in self.scores.items()},
            embedding=self.embedding[at],
            reference=self.reference[at],
            images=tuple(self.images[i] for i in at) if self.images else (),
        )


def finished(run: str) -> Plan:
    """The plan of a run that has ended. Raises SettingsError for one that has not."""
    plan = ledger.load(run)
    if plan is None:
        raise SettingsError(f"run={run} holds no run: there is no {ledger.plan_uri(run)}")
    if not storage.stat_or_none(ledger.success_uri(run)):
        raise SettingsError(f"run={run} is not finished: there is no _SUCCESS; give jobs/generate.py its command again")
    return plan


def collect(run: str, plan: Plan, by: Sequence[str], images: bool) -> Rows:
    """Read the columns of all objects."""
    names = ["source_id", "status", "scores", "embedding", "input_embeddings", *by, *(["image"] if images else [])]
    rows: list[dict[str, Any]] = []
    for stored in ledger.data_objects(run):
        with storage.open_parquet(stored.uri) as parquet:
            if missing := [name for name in by if name not in parquet.schema_arrow.names]:
                raise SettingsError(f"by={missing[0]}: {stored.uri} has no such column; input.keep=[…] carries columns")
            rows += [r for r in parquet.read(columns=[*dict.fromkeys(names)]).to_pylist() if r["status"] == "ok"]
    scores = plan.identity["task"]["scores"]
    return Rows(
        source_id=tuple(r["source_id"] for r in rows),
        group=tuple(tuple(str(r[name]) for name in by) for r in rows),
        scores={s: np.array([_number(r["scores"][s]) for r in rows], np.float32) for s in scores},
        embedding=np.array([r["embedding"] for r in rows], np.float32),
        reference=_reference(rows),
        images=tuple(r["image"]["bytes"] for r in rows) if images else (),
    )


def _reference(rows: Sequence[dict[str, Any]]) -> NDArray[np.float32]:
    found = [(r["input_embeddings"] or {}).get("image") for r in rows]
    size = len(rows[0]["embedding"]) if rows else 0
    return np.array([[math.nan] * size if e is None else e for e in found], np.float32).reshape(len(rows), size)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
