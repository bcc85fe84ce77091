"""What of a run stands in its store: the plan that was adopted, and which of its shards are done.

OUT/plan/<hash>-<n>.parquet   planned rows, a row group per shard
OUT/plan/plan.json            put create-only and last: of two planners the second adopts the first's plan
OUT/data/00000042.parquet     a shard is done exactly when its object exists
OUT/_SUCCESS                  the audit, written last
"""

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.build import build
from pipeline.cells import Cell
from pipeline.patience import patiently
from pipeline.settings import Task
from pipeline.storage import Stored


@dataclasses.dataclass(frozen=True)
class Part:
    """One object of the plan."""

    name: str
    first: int  # its first shard
    shards: int
    rows: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """plan.json: everything that a worker or an auditor needs to know of a run."""

    fingerprints: tuple[str, ...]  # of the recipe of each model
    identity: Mapping[str, Any]  # what another run into this output must agree on
    cells: tuple[Cell, ...]
    files: tuple[Stored, ...]
    parts: tuple[Part, ...]
    inputs: int
    rows: int
    judge: str  # where the judge was; its content stands in `identity`
    places: Mapping[
        str, Any
    ]  # of what joined the models, wrote texts, looked at results: key -> value, as a person types them

    @functools.cached_property
    def task(self) -> Task:
        """What is generated from what."""
        return build(Task, self.identity["task"])

    @property
    def shards(self) -> int:
        """How many shards there are, numbered from 0."""
        return sum(p.shards for p in self.parts)

    def model_of(self, shard: int) -> int:
        """Number of the model that makes a shard: all have equally many, one after the other."""
        return shard * len(self.fingerprints) // self.shards

    def to_json(self) -> bytes:
        """As it is put."""
        return (json.dumps(dataclasses.asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """As it was read."""
        cells = tuple(Cell(**{**c, "drop": tuple(c["drop"])}) for c in values["cells"])
        files = tuple(Stored(**f) for f in values["files"])
        parts = tuple(Part(**p) for p in values["parts"])
        names = tuple(values["fingerprints"])
        return cls(**{**values, "fingerprints": names, "cells": cells, "files": files, "parts": parts})


def plan_uri(output: str) -> str:
    """Where plan.json stands."""
    return storage.join(output, "plan", "plan.json")


def shard_uri(output: str, shard: int) -> str:
    """Where a shard's result stands."""
    return storage.join(output, "data", f"{shard:08d}.parquet")


def success_uri(output: str) -> str:
    """Where the audit stands."""
    return storage.join(output, "_SUCCESS")


def load(output: str) -> Plan | None:
    """The plan of a run, None where there is none yet."""
    uri = plan_uri(output)
    return Plan.from_json(storage.read_json(uri)) if storage.stat_or_none(uri) else None


@patiently
def shard_rows(output: str, made: Plan, shard: int) -> pa.Table:
    """The planned rows (schema.PLAN) of one shard."""
    part = next(p for p in made.parts if p.first <= shard < p.first + p.shards)
    with storage.open_parquet(storage.join(output, "plan", part.name)) as parquet:
        return parquet.read_row_group(shard - part.first)


@patiently
def shard_sizes(output: str, made: Plan) -> list[int]:
    """How many rows each shard was planned with, from the footers of the plan's parts."""
    sizes: list[int] = []
    for part in made.parts:
        with storage.open_parquet(storage.join(output, "plan", part.name)) as parquet:
            sizes += [parquet.metadata.row_group(group).num_rows for group in range(part.shards)]
    return sizes


def planned(output: str, made: Plan) -> Iterator[tuple[int, pa.Table]]:
    """(shard, its planned rows) of all shards in order; every part of the plan is opened once."""
    for part in made.parts:
        with storage.open_parquet(storage.join(output, "plan", part.name)) as parquet:
            for group in range(part.shards):
                yield part.first + group, parquet.read_row_group(group)


def done(output: str) -> list[int]:
    """Numbers of the shards whose objects exist."""
    names = (o.uri.rsplit("/", 1)[-1].removesuffix(".parquet") for o in data_objects(output))
    return [int(name) for name in names if name.isdecimal()]


def reopen(output: str, shards: Sequence[int]) -> None:
    """Take back that these shards are done. _SUCCESS goes first: while it stands, every planned row does."""
    storage.remove(success_uri(output))
    for shard in shards:
        storage.remove(shard_uri(output, shard))


def data_objects(output: str) -> Sequence[Stored]:
    """The results that exist."""
    return storage.list_objects(storage.join(output, "data"), ".parquet")


@patiently
def shard_facts(uri: str) -> dict[str, Any]:
    """What stage `finish` wrote into an object's metadata: seconds of each stage, forwards of the network."""
    with storage.open_parquet(uri) as parquet:
        facts: dict[str, Any] = json.loads(parquet.schema_arrow.metadata[b"run"])
    return facts
