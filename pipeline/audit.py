"""The law, from the objects alone: every planned row stands in data/ exactly once, ok or failed with its reason.

Shards are compared with the plan one by one, so memory does not grow with the run. Row ids are unique inside
the plan by construction (unique inputs x cells x samples), and a shard object may hold its own shard's rows only.
"""

import collections
import dataclasses
import json
from collections.abc import Mapping

import pyarrow.compute as pc

from pipeline import ledger, storage
from pipeline.ledger import Plan
from pipeline.patience import patiently
from pipeline.settings import RunError


@dataclasses.dataclass(frozen=True)
class Audit:
    """What stands in data/, held against the plan."""

    planned: int
    ok: int
    failed: int
    missing: int  # planned rows of shards without an object
    unlawful: tuple[str, ...]  # what contradicts the law, in words
    reasons: Mapping[str, int]  # "stage kind" -> failed rows

    @property
    def holds(self) -> bool:
        """Whether the law holds: nothing missing, nothing unlawful."""
        return not self.missing and not self.unlawful and self.ok + self.failed == self.planned

    def __str__(self) -> str:
        """The audit in one line."""
        parts = [f"{self.planned:,} planned", f"{self.ok:,} ok", f"{self.failed:,} failed"]
        parts += [f"{self.missing:,} missing"] if self.missing else []
        parts += list(self.unlawful[:3])
        return ", ".join(parts)


def audit(output: str, plan: Plan) -> Audit:
    """Read ids and errors of every object below data/."""
    expected = {f"{shard:08d}.parquet" for shard in range(plan.shards)}
    objects = {o.uri.rsplit("/", 1)[-1]: o.uri for o in ledger.data_objects(output)}
    unlawful = [f"unplanned object {name}" for name in sorted(set(objects) - expected)]
    ok, missing, reasons = 0, 0, collections.Counter[str]()
    for shard, rows in ledger.planned(output, plan):
        planned = rows["row_id"].to_pylist()
        uri = objects.get(f"{shard:08d}.parquet")
        if uri is None:
            missing += len(planned)
            continue
        found, good, bad = _read(uri)
        ok += good
        reasons.update(bad)
        if len(set(planned)) < len(planned):
            unlawful.append(f"shard {shard} was planned with one row twice")
        if sorted(found) != sorted(planned):
            unlawful.append(f"shard {shard} does not hold exactly its planned rows")
    return Audit(plan.rows, ok, reasons.total(), missing, tuple(unlawful), dict(reasons.most_common()))


def verify(output: str) -> str:
    """The audit of a run in words, failures by reason. Raises RunError if it is not finished, or not lawful."""
    plan = ledger.load(output)
    if plan is None:
        raise RunError(f"{output} holds no run: there is no {ledger.plan_uri(output)}")
    found = audit(output, plan)
    if found.unlawful:
        raise RunError(f"the law does not hold in {output}: {found}")
    if found.missing:
        raise RunError(f"{output} is not finished: {found}; the run's own command goes on")
    finished = storage.stat_or_none(ledger.success_uri(output)) is not None
    state = "" if finished else "; _SUCCESS is still to be written, the run's own command does it"
    lines = [f"{n:,} x {reason}" for reason, n in found.reasons.items()]
    return "\n".join([f"the law holds: {found}{state}", *lines, output])


@patiently
def _read(uri: str) -> tuple[list[str], int, collections.Counter[str]]:
    """(row ids, rows that are ok, reasons of the failed ones) of one object."""
    with storage.open_parquet(uri) as parquet:
        table = parquet.read(columns=["row_id", "status", "error"])
    reasons = collections.Counter[str]()
    for status, error in zip(table["status"].to_pylist(), table["error"].to_pylist(), strict=True):
        if status != "ok":
            reasons[f"{error['stage']} {error['kind']}" if error else "without a reason"] += 1
    return table["row_id"].to_pylist(), table.num_rows - reasons.total(), reasons


@patiently
def ok_rows(uri: str) -> set[str]:
    """Ids of the rows of one object that went well."""
    with storage.open_parquet(uri) as parquet:
        table = parquet.read(columns=["row_id", "status"])
    return set(table.filter(pc.field("status") == "ok")["row_id"].to_pylist())


def reasons(output: str) -> dict[str, int]:
    """Failed rows counted by reason, over the objects that exist."""
    counted = collections.Counter[str]()
    for stored in ledger.data_objects(output):
        counted.update(_read(stored.uri)[2])
    return dict(counted.most_common())


def with_failures(output: str) -> list[int]:
    """Shards whose objects hold failed rows."""
    done = ledger.done(output)
    return [shard for shard in done if _read(ledger.shard_uri(output, shard))[2]]


def write_success(output: str, found: Audit, facts: Mapping[str, object]) -> None:
    """Write _SUCCESS with the audit's figures; the last object of a run."""
    body = {**dataclasses.asdict(found), **facts}
    storage.put_new(ledger.success_uri(output), (json.dumps(body, indent=1) + "\n").encode())
