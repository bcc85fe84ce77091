"""What a whole run would take, told from its plan and one of its shards."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.settings import Generate


def describe(plan: Plan, settings: Generate, made: Sequence[Mapping[str, Any]], todo: int) -> str:
    """Rows, shards, missing modalities, time and bytes; `made` are manifest rows of the shards that were run."""
    grid = f"{plan.inputs:,} inputs x {len(plan.cells)} cells x {settings.num_samples} samples"
    lines = [f"{grid} = {plan.rows:,} rows in {plan.shards:,} shards, {todo:,} of them to do"]
    lines += [f"input files hold {n:,} rows without {role}" for role, n in missing(plan, settings).items()]
    for row in made:
        lines += _estimate(plan, settings, row, todo)
    return "\n".join([*lines, "the same command without preview=true does the rest"])


def _estimate(plan: Plan, settings: Generate, made: Mapping[str, Any], todo: int) -> list[str]:
    rows = made["ok"] + made["failed"]
    spent = ledger.shard_facts(ledger.shard_uri(settings.output, made["shard"]))["seconds"]
    return [
        f"one shard of {rows:,} rows took " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in spent.items()),
        f"{todo:,} shards: about {spent['sample'] * todo:,.0f} s of sampling, shared by the sampler actors",
        f"output: about {made['bytes'] / rows * plan.rows / 1e6:,.1f} MB",
    ]


def missing(plan: Plan, settings: Generate) -> dict[str, int]:
    """Rows of the input files that lack each role, from the files' own statistics: no media are read."""
    counts = dict.fromkeys(settings.task.roles, 0)
    for file in plan.files:
        with storage.open_parquet(file.uri) as parquet:
            for role in counts:
                counts[role] += _nulls(parquet.metadata, settings.input.columns.get(role))
    return counts


def _nulls(metadata: Any, column: str | None) -> int:
    """Null values of a column, of the `bytes` of a struct column, of a list; all rows where there is no column."""
    if column is None:
        return int(metadata.num_rows)
    total = 0
    for group in (metadata.row_group(g) for g in range(metadata.num_row_groups)):
        leaves = [group.column(c) for c in range(group.num_columns)]
        leaf = next(x for x in leaves if x.path_in_schema in (column, f"{column}.bytes", f"{column}.list.element"))
        total += leaf.statistics.null_count if leaf.statistics else 0
    return total
