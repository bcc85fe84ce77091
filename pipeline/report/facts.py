"""What the page tells, gathered from the objects of a run: figures of all rows, and whole rows of those to look at."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ledger, schema
from pipeline.ledger import Plan
from pipeline.report import rows
from pipeline.report.choice import Choice, Group, choose, groups
from pipeline.report.model import Model, find
from pipeline.report.scores import Scores
from pipeline.report.space import Space, sample

FIGURES = ("row_id", "source_id", "cell", "sample_index", "status", "error", "scores")
SHOWN_INPUTS = 120  # in the contact sheet, at most
SHOWN_RESULTS = 480  # in the contact sheet, about
BY_CELL = ("scheduler", "steps")  # of a row's provenance: the setting of its cell, which its shard need not share
SHOWN_EXTREMES = 8  # best and worst rows, each


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run spent, over all shards."""

    seconds: Mapping[str, float]  # by stage
    forwards: int  # rows put through the network
    bytes: int  # of all objects below data/
    provenance: tuple[Mapping[str, str], ...]  # all that differ, without what differs by cell


@dataclasses.dataclass(frozen=True)
class Facts:
    """All figures of a run."""

    output: str
    plan: Plan
    model: Model  # of the best cell
    scores: Scores  # of all rows
    choice: Choice | None  # which cell is best; None where no row has a score
    groups: tuple[Group, ...]  # cells by what the network was allowed to see
    cost: Cost
    failures: Mapping[str, list[str]]  # "stage: kind" -> messages
    sheet: tuple[Mapping[str, Any], ...]  # inputs with their results, evenly spread over the run
    best: tuple[Mapping[str, Any], ...]
    worst: tuple[Mapping[str, Any], ...]
    space: Space  # embeddings of some inputs and their results

    @property
    def ok(self) -> int:
        """Rows that went well."""
        return len(self.scores.table) - self.failed

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return sum(map(len, self.failures.values()))


def gather(output: str, plan: Plan) -> Facts:
    """Read the objects twice: columns of figures of all rows, then whole rows of the few that are shown."""
    objects = ledger.data_objects(output)
    columns = (*FIGURES, *(field.name for field in schema.SAFETY)) if "safety" in plan.identity else FIGURES
    figures = pa.concat_tables(_figures(o.uri, number, columns) for number, o in enumerate(objects))
    scores = Scores(plan, figures)
    models = {uri: find(plan, uri) for uri in dict.fromkeys(cell.model for cell in plan.cells)}
    choice = choose(scores, {uri: m.json("scheduler", "scheduler_config.json") for uri, m in models.items()})
    ranked = scores.ranked()
    chosen = _spread(plan, figures)
    shown = rows.whole(output, plan, {*chosen, *ranked[:SHOWN_EXTREMES], *ranked[-SHOWN_EXTREMES:]})
    by_input = collections.defaultdict(list)
    for row_id in chosen:
        by_input[shown[row_id]["source_id"]].append(shown[row_id])
    sheet = tuple({**results[0], "results": results} for results in by_input.values())
    return Facts(
        output=output,
        plan=plan,
        model=models[(choice.best.cell if choice else plan.cells[0]).model],
        scores=scores,
        choice=choice,
        groups=groups(scores, choice),
        cost=_cost(output),
        failures=_failures(figures.filter(pc.field("status") != "ok")),
        sheet=sheet,
        best=tuple(shown[r] for r in ranked[:SHOWN_EXTREMES]),
        worst=tuple(shown[r] for r in ranked[::-1][:SHOWN_EXTREMES]),
        space=sample([o.uri for o in objects], figures, list(by_input)),
    )


def _figures(uri: str, number: int, columns: Sequence[str]) -> pa.Table:
    table = rows.read(uri, columns)
    return table.append_column("object", pa.array(np.full(len(table), number, np.int32)))


def _cost(output: str) -> Cost:
    seconds, forwards = collections.Counter[str](), 0
    objects = ledger.data_objects(output)
    provenance: dict[str, Mapping[str, str]] = {}
    for stored in objects:
        spent = ledger.shard_facts(stored.uri)
        seconds.update(spent["seconds"])
        forwards += spent["forwards"]
        made = {k: v for k, v in rows.first(stored.uri, "provenance").items() if k not in BY_CELL}
        provenance[str(made)] = made
    return Cost(dict(seconds), forwards, sum(o.size for o in objects), tuple(provenance.values()))


def _spread(plan: Plan, figures: pa.Table) -> list[str]:
    """Row ids of all results of inputs that are spread evenly over the run."""
    good = figures.filter(pc.field("status") == "ok")
    sources = pc.unique(good["source_id"])
    each = len(plan.cells) * plan.identity["num_samples"]
    count = min(SHOWN_INPUTS, max(1, SHOWN_RESULTS // each), len(sources))
    kept = sources.take(pa.array(evenly(len(sources), count), pa.int64()))
    return [str(name) for name in good.filter(pc.field("source_id").isin(kept))["row_id"].to_pylist()]


def evenly(total: int, count: int) -> list[int]:
    """`count` of the numbers below `total`, evenly spread."""
    return [i * total // count for i in range(count)]


def _failures(failed: pa.Table) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for source, error in zip(failed["source_id"].to_pylist(), failed["error"].to_pylist(), strict=True):
        reasons.setdefault(f"{error['stage']}: {error['kind']}", []).append(f"{source}: {error['message']}")
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))
