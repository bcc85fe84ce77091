"""Finish, on CPU alone: score each result and encode it: the output rows of a shard, ready to be put."""

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import ledger, provenance, results, schema
from pipeline.cells import Cell
from pipeline.kinds import KINDS, judged
from pipeline.results import Result
from pipeline.schema import Error
from pipeline.scores import Sample
from pipeline.scores.select import select
from pipeline.settings import resolve
from pipeline.stages import Job, attempt
from pipeline.stages.blocks import array

FACTS = ("shard", "asked", "cached", "encoded", "forwards", "sampler")  # columns that say how the shard came about
PLANNED = ("row_id", "source_id", "cell", "sample_index", "seed")
GREY = 128  # every pixel of a picture that is blanked
KEEP = "keep."  # prefix of the columns that pass through


class Finish:
    """Callable on the block that `Sample` made; gives the output rows. See the module."""

    def __init__(self, job: Job) -> None:
        self.job, self.settings, self.task = job, job.settings, job.settings.task
        self.result = results.of(self.task)
        self.scores: dict[str, Callable[[Sample], float]] = {n: resolve(s) for n, s in job.settings.task.scores.items()}
        self.plan = plan = ledger.load(job.settings.output)
        self.cells: Mapping[str, Cell] = {c.name: c for c in plan.cells} if plan else {}
        self.source_type = provenance.source_type(self.task)

    def __call__(self, block: pa.Table) -> pa.Table:
        """The shard's output rows; the table's metadata holds FACTS and the stages' times."""
        began = time.monotonic()
        table = self._table(block)
        facts = {name: block[name].drop_null()[0].as_py() for name in FACTS if name in block.column_names} | {
            "seconds": _seconds(block, began)
        }
        return table.replace_schema_metadata({**(table.schema.metadata or {}), b"run": json.dumps(facts).encode()})

    def _table(self, block: pa.Table) -> pa.Table:
        """The shard's output rows."""
        roles, conditions = self.task.roles, self.task.conditions
        drawn, embeddings = array(block, "drawn"), array(block, "embedding")
        values = [self.result.value(*row) for row in zip(drawn, block["size"].to_pylist(), strict=True)]
        inputs = Inputs(block, roles, self.result)
        errors: list[Error | None] = block["error"].to_pylist()
        rows: list[dict[str, Any]] = []
        optional = [field for field in (*schema.TEXTS, *schema.SAFETY) if field.name in block.column_names]
        taken = ["shard", *PLANNED, *(field.name for field in optional)]
        for i, row in enumerate(block.select(taken).to_pylist()):
            inputs.advance(i, len(values[i]))
            result: dict[str, Any] | None = None
            if errors[i] is None:
                work = functools.partial(self._result, values[i], embeddings[i], inputs, row)
                result, errors[i] = attempt("score", "", work)
            rows.append({**row, **inputs.columns(), **self._constant(row["cell"], errors[i]), **(result or {})})
        for row, chosen in zip(rows, self._selected(rows), strict=True):
            row["selected"] = chosen
        kept = [f.with_name(f.name.removeprefix(KEEP)) for f in block.schema if f.name.startswith(KEEP)]
        facts = sorted([*self.job.provenance, "scheduler", "steps"])
        names = schema.Names(list(roles), judged(roles), list(self.scores), [*conditions, "all"], facts)
        declared = schema.output(
            self.result.fields, names, embeddings.shape[1], schema.Kept([*optional, *kept], self._sounds())
        )
        return schema.check(pa.Table.from_pylist(rows, declared), declared)

    def _sounds(self) -> set[str]:
        """Columns of the input that hold audio."""
        columns = self.settings.input.columns
        return {columns.get(role) or "" for role, kind in self.task.roles.items() if kind == "audio"}

    def _selected(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """The column `selected`. All results of an input stand in one shard."""
        name = self.settings.select.by
        sign = -1 if name.startswith("-") else 1
        values = [(r.get("scores") or {}).get(name.removeprefix("-")) for r in rows]
        signed = [None if v is None else sign * v for v in values]
        good = [r["status"] == "ok" and not r.get("unsafe") for r in rows]
        return select(self.settings.select, [r["source_id"] for r in rows], signed, good)

    def _constant(self, cell: str, error: Error | None) -> dict[str, Any]:
        """Columns that say how the row came about."""
        made = self.cells[cell]
        return {
            "status": "failed" if error else "ok",
            "error": error,
            "guidance": dict(made.guidance),
            "provenance": {**self.job.provenance, "scheduler": made.scheduler, "steps": str(made.steps)},
        }

    def _xmp(self, row: Mapping[str, Any], inputs: "Inputs") -> bytes:
        """What the file of a row's result says of it."""
        made, plan = self._constant(row["cell"], None), self.plan
        withheld = self.cells[row["cell"]].drop
        roles = [role for role in self.task.conditions if self.task.roles[role] == "text" and role not in withheld]
        told = {role: inputs.values[role] for role in roles if role in inputs.values}
        fingerprint = plan.fingerprints[plan.model_of(row["shard"])] if plan else ""
        own = {**row, "recipe": fingerprint, "texts": told}
        return provenance.packet(self.source_type, {**own, **{n: made[n] for n in ("guidance", "provenance")}})

    def _result(self, value: Any, embedding: Any, inputs: "Inputs", row: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of a row that went well. Scores are those of what was drawn, even where it is not shown."""
        sample = Sample(value, inputs.values, embedding, inputs.embeddings)
        scores = {name: score(sample) for name, score in self.scores.items()}
        blank = row.get("unsafe") and self.settings.safety.on_unsafe == "blank"
        xmp = self._xmp(row, inputs) if self.settings.mark.metadata else b""
        return {
            **self.result.columns(np.full_like(value, GREY) if blank else value, xmp),
            "embedding": embedding.astype(np.float16),
            "scores": {name: None if math.isnan(value) else value for name, value in scores.items()},
        }


class Inputs:
    """The input of the planned row at hand. Its media stand in the first of its planned rows."""

    def __init__(self, block: pa.Table, roles: Mapping[str, str], result: Result) -> None:
        self.block, self.roles, self.result = block, roles, result
        self.inputs = block["input_row"].to_pylist()
        self.judge = {role: array(block, f"judge.{role}") for role in judged(roles)}
        self.kept_names = [n for n in block.column_names if n.startswith(KEEP)]
        self.values: dict[str, Any] = {}
        self.embeddings: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}

    def advance(self, row: int, size: int) -> None:
        """Move on to a planned row, whose result has this size."""
        if row and self.inputs[row] == self.inputs[row - 1]:
            return
        present = [r for r in self.roles if self.block[f"present.{r}"][row].as_py()]
        self.values = {r: self._value(r, row, size) for r in present}
        self.embeddings = {r: self.judge[r][row] for r in present if r in self.judge}
        self.kept = {n.removeprefix(KEEP): self.block[n][row].as_py() for n in self.kept_names}

    def columns(self) -> dict[str, Any]:
        """What the output says of the input."""
        half = {r: e.astype(np.float16) for r, e in self.embeddings.items()}
        present = {r: r in self.values for r in self.roles}
        return {"input_embeddings": {r: half.get(r) for r in self.judge}, "present": present, **self.kept}

    def _value(self, role: str, row: int, size: int) -> Any:
        kind = self.roles[role]
        return self.result.fitted(kind, KINDS[kind].decode(self.block[role][row].as_py()), size)


def _seconds(block: pa.Table, began: float) -> dict[str, float]:
    """Seconds that each stage spent on this shard."""
    names: Sequence[str] = [n for n in block.column_names if n.startswith("seconds.")]
    spent = {n.removeprefix("seconds."): float(block[n].drop_null()[0].as_py()) for n in names}
    return {**spent, "finish": time.monotonic() - began}
