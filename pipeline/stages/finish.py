"""Finish, on CPU alone: score each result and encode it: the output rows of a shard, ready to be put."""

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
from pipeline.stages.columns import by_key, flags, halves, struct, taken

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
        embeddings: NDArray[np.float32] = array(block, "embedding")  # type: ignore[assignment]
        optional = [field for field in (*schema.TEXTS, *schema.SAFETY) if field.name in block.column_names]
        names = [*PLANNED, *(field.name for field in optional)]
        rows = block.select(["shard", *names]).to_pylist()
        results, errors = self._results(block, embeddings, rows)
        inputs = Inputs(block, self.task.roles, self.result)
        kept = inputs.kept()
        declared = self._declared(embeddings.shape[1], [*optional, *kept.schema])
        ok = np.array([error is None for error in errors])
        scores = [result and result["scores"] for result in results]
        columns = {
            **{name: block[name] for name in names},
            **dict(zip(kept.column_names, kept.columns, strict=True)),
            **{f.name: pa.array([result and result[f.name] for result in results], f.type) for f in self.result.fields},
            **{name: inputs.column(name, declared.field(name).type) for name in ("input_embeddings", "present")},
            **self._constants([row["cell"] for row in rows], declared),
            "status": pa.array(["ok" if good else "failed" for good in ok]),
            "error": pa.array(errors, schema.ERROR),
            "selected": pa.array(self._selected(rows, scores, ok)),
            "embedding": halves(embeddings, ok),
            "scores": pa.array(scores, declared.field("scores").type),
        }
        return schema.check(pa.table(columns), declared).combine_chunks()

    def _results(
        self, block: pa.Table, embeddings: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[list[dict[str, Any] | None], list[Error | None]]:
        """Of each row: the columns of its result, None where it failed, and its error."""
        drawn, sizes = array(block, "drawn"), block["size"].to_pylist()
        inputs = Inputs(block, self.task.roles, self.result)
        errors: list[Error | None] = block["error"].to_pylist()
        results: list[dict[str, Any] | None] = [None] * len(rows)
        for i, row in enumerate(rows):
            if errors[i] is None:
                value = self.result.value(drawn[i], sizes[i])
                inputs.advance(i, len(value))
                work = functools.partial(self._result, value, embeddings[i], inputs, row)
                results[i], errors[i] = attempt("score", "", work)
        return results, errors

    def _declared(self, width: int, further: Sequence[pa.Field]) -> pa.Schema:
        """The output's schema; `width` is that of an embedding."""
        roles, conditions = self.task.roles, self.task.conditions
        facts = sorted([*self.job.provenance, "scheduler", "steps"])
        names = schema.Names(list(roles), judged(roles), list(self.scores), [*conditions, "all"], facts)
        return schema.output(self.result.fields, names, width, schema.Kept(further, self._sounds()))

    def _sounds(self) -> set[str]:
        """Columns of the input that hold audio."""
        columns = self.settings.input.columns
        return {columns.get(role) or "" for role, kind in self.task.roles.items() if kind == "audio"}

    def _selected(
        self, rows: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any] | None], ok: NDArray[np.bool_]
    ) -> list[bool]:
        """The column `selected`. All results of an input stand in one shard."""
        name = self.settings.select.by
        sign = -1 if name.startswith("-") else 1
        values = [(own or {}).get(name.removeprefix("-")) for own in scores]
        signed = [None if v is None else sign * v for v in values]
        good = [bool(fine) and not row.get("unsafe") for fine, row in zip(ok, rows, strict=True)]
        return select(self.settings.select, [r["source_id"] for r in rows], signed, good)

    def _constants(self, cells: Sequence[str], declared: pa.Schema) -> dict[str, pa.Array]:
        """Columns that say how each row came about, which its cell decides."""
        told = {name: self._told(name) for name in dict.fromkeys(cells)}
        return {
            column: by_key(cells, {name: own[column] for name, own in told.items()}, declared.field(column).type)
            for column in ("guidance", "provenance")
        }

    def _told(self, cell: str) -> dict[str, Any]:
        """How rows of a cell come about."""
        made = self.cells[cell]
        facts = {**self.job.provenance, "scheduler": made.scheduler, "steps": str(made.steps)}
        return {"guidance": dict(made.guidance), "provenance": facts}

    def _xmp(self, row: Mapping[str, Any], inputs: "Inputs") -> bytes:
        """What the file of a row's result says of it."""
        plan = self.plan
        withheld = self.cells[row["cell"]].drop
        roles = [role for role in self.task.conditions if self.task.roles[role] == "text" and role not in withheld]
        told = {role: inputs.values[role] for role in roles if role in inputs.values}
        fingerprint = plan.fingerprints[plan.model_of(row["shard"])] if plan else ""
        own = {**row, "recipe": fingerprint, "texts": told, **self._told(row["cell"])}
        return provenance.packet(self.source_type, own)

    def _result(self, value: Any, embedding: Any, inputs: "Inputs", row: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of a row that went well. Scores are those of what was drawn, even where it is not shown."""
        sample = Sample(value, inputs.values, embedding, inputs.embeddings)
        scores = {name: score(sample) for name, score in self.scores.items()}
        blank = row.get("unsafe") and self.settings.safety.on_unsafe == "blank"
        xmp = self._xmp(row, inputs) if self.settings.mark.metadata else b""
        return {
            **self.result.columns(np.full_like(value, GREY) if blank else value, xmp),
            "scores": {name: None if math.isnan(value) else value for name, value in scores.items()},
        }


class Inputs:
    """The input of the planned row at hand. Its media stand in the first of its planned rows."""

    def __init__(self, block: pa.Table, roles: Mapping[str, str], result: Result) -> None:
        self.block, self.roles, self.result = block, roles, result
        inputs = block["input_row"].to_pylist()
        first = {own: row for row, own in reversed([*enumerate(inputs)])}
        self.first = [first[own] for own in inputs]  # of the rows of each row's input
        self.present = {role: flags(block, f"present.{role}") for role in roles}
        self.judge: dict[str, Any] = {role: array(block, f"judge.{role}") for role in judged(roles)}
        self.at = -1  # the first row of the input at hand
        self.values: dict[str, Any] = {}
        self.embeddings: dict[str, Any] = {}

    def advance(self, row: int, size: int) -> None:
        """Move on to a planned row, whose result has this size."""
        if self.first[row] == self.at:
            return
        self.at = self.first[row]
        present = [role for role in self.roles if self.present[role][row]]
        self.values = {role: self._value(role, size) for role in present}
        self.embeddings = {role: self.judge[role][row] for role in present if role in self.judge}

    def column(self, name: str, kind: pa.DataType) -> pa.Array:
        """What the output says of all inputs: `present` or `input_embeddings`, of that type."""
        if name == "present":
            return struct(kind, {role: pa.array(there) for role, there in self.present.items()})
        return struct(kind, {role: halves(values, self.present[role]) for role, values in self.judge.items()})

    def kept(self) -> pa.Table:
        """Columns that pass through, under their own names."""
        names = [name for name in self.block.column_names if name.startswith(KEEP)]
        table = taken(self.block.select(names), self.first)
        return table.rename_columns([name.removeprefix(KEEP) for name in names])

    def _value(self, role: str, size: int) -> Any:
        kind = self.roles[role]
        return self.result.fitted(kind, KINDS[kind].decode(self.block[role][self.at].as_py()), size)


def _seconds(block: pa.Table, began: float) -> dict[str, float]:
    """Seconds that each stage spent on this shard."""
    names: Sequence[str] = [n for n in block.column_names if n.startswith("seconds.")]
    spent = {n.removeprefix("seconds."): float(block[n].drop_null()[0].as_py()) for n in names}
    return {**spent, "finish": time.monotonic() - began}
