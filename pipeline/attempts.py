"""Which shards killed their worker, and which row did it: found by bisection, from what dead workers left behind.

Before a stage works on a shard it puts an attempt, and it removes it afterwards. An attempt that is still there
when the shard is tried again belongs to a worker that died. A shard that took two workers with it is tried
again with none of its rows (if that kills as well, no row is to blame), then with half of them, until one row
alone has killed a worker. That row is remembered as poisoned; it becomes a failed row and the rest goes on.

OUT/attempts/00000042/encode-1f3a9c-000-0-16            begun with rows [0, 16) of the shard; the others held back
OUT/attempts/00000042/encode-1f3a9c-000-0-16.late       … and ended by the time limit
OUT/attempts/00000042/encode-1f3a9c-002-0-0.survived    … and came through
OUT/attempts/poisoned/00000042-encode-7.json            the error of row 7

Each driver process is a session (1f3a9c above) and counts its own workers' deaths only: those of an earlier or
a second run say nothing about rows. Poisoned rows are remembered across sessions.
"""

import dataclasses
import json
from collections.abc import Sequence

from pipeline import storage
from pipeline.schema import Error

WHOLE_DEATHS = 2  # one death may be the node's; after the second, rows are suspected


@dataclasses.dataclass(frozen=True)
class Trial:
    """A try with rows [first, stop) of a shard, all others held back."""

    first: int
    stop: int

    def holds_back(self, row: int) -> bool:
        """Whether a row takes no part."""
        return not self.first <= row < self.stop


@dataclasses.dataclass(frozen=True)
class Culprit:
    """A row that kills its worker alone."""

    row: int


@dataclasses.dataclass(frozen=True)
class Blameless:
    """The shard kills its workers, but no row of it does."""

    why: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a trial. `error` says why it did not survive, where that is known."""

    trial: Trial
    survived: bool
    error: Error | None = None


def next_step(rows: int, past: Sequence[Outcome]) -> Trial | Culprit | Blameless:
    """What to do with a shard of `rows` rows after these trials, in their order."""
    whole, none = Trial(0, rows), Trial(0, 0)
    deaths = sum(o.trial == whole and not o.survived for o in past)
    if deaths < WHOLE_DEATHS:
        return whole
    control = [o.survived for o in past if o.trial == none]
    if not control:
        return none
    if not control[0]:
        return Blameless("it also dies when all rows of the shard are held back")
    return _bisect(rows, {o.trial: o.survived for o in past if o.trial not in (whole, none)}, deaths)


def _bisect(rows: int, survived: dict[Trial, bool], deaths: int) -> Trial | Culprit | Blameless:
    suspects, known = Trial(0, rows), True  # known: exactly these rows have killed a worker
    while suspects.stop - suspects.first > 1:
        middle = (suspects.first + suspects.stop) // 2
        half = Trial(suspects.first, middle)
        if half not in survived:
            return half
        known = not survived[half]
        suspects = half if known else Trial(middle, suspects.stop)
    if known or survived.get(suspects) is False:
        return Culprit(suspects.first)
    if suspects not in survived:
        return suspects
    if deaths == WHOLE_DEATHS:  # none of them alone: perhaps the nodes died twice
        return Trial(0, rows)
    return Blameless("no row of the shard does so alone; give workers more memory, or lower shard_rows")


class Attempts:
    """The attempts of one stage of one session, in the store."""

    def __init__(self, output: str, stage: str, session: str) -> None:
        self.root, self.stage, self.session = storage.join(output, "attempts"), stage, session

    def uri(self, shard: int, number: int, trial: Trial) -> str:
        """Where the attempt with this number stands."""
        name = f"{self.stage}-{self.session}-{number:03d}-{trial.first}-{trial.stop}"
        return storage.join(self.root, f"{shard:08d}", name)

    def begin(self, shard: int, number: int, trial: Trial) -> bool:
        """Put an attempt, before its work. False: a worker that died had put it."""
        return storage.put_new(self.uri(shard, number, trial), b"")

    def survive(self, shard: int, number: int, trial: Trial) -> None:
        """Say that a trial with a part of the rows came through."""
        storage.put_new(self.uri(shard, number, trial) + ".survived", b"")

    def late(self, shard: int, number: int, trial: Trial) -> None:
        """Say that an attempt is ended because it took too long."""
        storage.put_new(self.uri(shard, number, trial) + ".late", b"")

    def past(self, shard: int) -> list[Outcome]:
        """What became of this session's trials of a shard; those without a mark died."""
        names = [o.uri.rsplit("/", 1)[-1] for o in storage.list_objects(storage.join(self.root, f"{shard:08d}"))]
        own = [n for n in names if n.startswith(f"{self.stage}-{self.session}-")]
        marks = {n for n in own if "." in n}
        return [self._outcome(n, marks) for n in sorted(own) if n not in marks]

    def _outcome(self, name: str, marks: set[str]) -> Outcome:
        first, stop = map(int, name.rsplit("-", 2)[1:])
        late = f"{name}.late" in marks
        why = "took longer than failures.time_limit" if late else "killed its worker (out of memory, or a crash)"
        error = {"stage": self.stage, "kind": "TimeLimit" if late else "WorkerDied", "message": why}
        return Outcome(Trial(first, stop), f"{name}.survived" in marks, error)

    def forget(self, shard: int) -> None:
        """Remove this session's attempts on a shard."""
        prefix = storage.join(self.root, f"{shard:08d}", f"{self.stage}-{self.session}-")
        for stored in storage.list_objects(storage.join(self.root, f"{shard:08d}")):
            if stored.uri.startswith(prefix):
                storage.remove(stored.uri)

    def end(self, shard: int, number: int, trial: Trial) -> None:
        """Remove one attempt: its work is done."""
        storage.remove(self.uri(shard, number, trial))

    def poison(self, shard: int, row: int, error: Error) -> None:
        """Remember that a row kills its worker."""
        storage.put_new(poison_uri(self.root, f"{shard:08d}-{self.stage}-{row}"), json.dumps(error).encode())

    def poisoned(self) -> dict[int, dict[int, Error]]:
        """Shard -> row -> error, of the rows that are known to kill this stage."""
        found: dict[int, dict[int, Error]] = {}
        for stored in storage.list_objects(storage.join(self.root, "poisoned"), ".json"):
            shard, stage, row = stored.uri.rsplit("/", 1)[-1].removesuffix(".json").split("-")
            if stage == self.stage:
                found.setdefault(int(shard), {})[int(row)] = storage.read_json(stored.uri)
        return found


def poison_uri(root: str, name: str) -> str:
    """Where a poisoned row is remembered."""
    return storage.join(root, "poisoned", f"{name}.json")


def forgive(output: str, shards: Sequence[int]) -> None:
    """Forget the poisoned rows of some shards, so that they are tried again."""
    wanted = {f"{s:08d}" for s in shards}
    for stored in storage.list_objects(storage.join(output, "attempts", "poisoned"), ".json"):
        if stored.uri.rsplit("/", 1)[-1][:8] in wanted:
            storage.remove(stored.uri)
