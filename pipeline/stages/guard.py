"""Guard: stands around a stage and makes a row that raises, hangs or kills the process a failed row.

Only such a row fails; the other rows of its shard get the bytes that they would have had without it, since a
row that is held back keeps its place (attempts.py has the search for it).
"""

import contextlib
import faulthandler
import os
import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

from pipeline import schema
from pipeline.attempts import Attempts, Blameless, Culprit, Outcome, Trial, next_step
from pipeline.schema import Error
from pipeline.settings import RunError
from pipeline.stages import Job, failure

# What a row's content can make code raise. A store's or a node's fault (OSError, MemoryError) aborts the shard.
ROW_FAULTS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError, RuntimeError)
NODE_FAULTS = ("OutOfMemoryError",)  # by name: torch takes seconds to import, and `finish` does without it
BACKSTOP = 1.2  # times the limit, after which a process ends that does not even run its own timer
HELD_BACK = {"stage": "", "kind": "HeldBack", "message": "held back while another row of the shard is looked for"}

# Takes blocks with an `error` column; rows that carry an error are not worked on.
Stage = Callable[[pa.Table], pa.Table]


class Guard:
    """Callable like the stage that it guards."""

    def __init__(self, name: str, stage: Stage, job: Job) -> None:
        self.name, self.stage = name, stage
        self.limit = job.settings.failures.time_limit
        self.log = Attempts(job.settings.output, name, job.session)
        self.poisoned = self.log.poisoned()

    def __call__(self, block: pa.Table) -> pa.Table:
        """One shard further. Raises RunError if the shard kills its workers and no row is to blame."""
        shard, rows = block["shard"].drop_null()[0].as_py(), block.num_rows
        past: list[Outcome] | None = None
        while True:
            step = next_step(rows, past or [])
            if isinstance(step, Blameless):
                raise RunError(f"stage {self.name} kills its worker on shard {shard}: {step.why}")
            if isinstance(step, Culprit):
                self._blame(shard, step.row, past or [])
                past = []
                continue
            number = len(past or [])
            if not self.log.begin(shard, number, step) and past is None:
                past = self.log.past(shard)
                continue
            result, outcome = self._try(block, shard, number, step)
            if result is not None and step == Trial(0, rows):
                self._settle(shard, number, step)
                return result
            past = [*(past or []), outcome]

    def _try(self, block: pa.Table, shard: int, number: int, trial: Trial) -> tuple[pa.Table | None, Outcome]:
        """Work on some rows of the shard."""
        held = {row: HELD_BACK for row in range(block.num_rows) if trial.holds_back(row)}
        try:
            with self._limited(shard, number, trial):
                result = self.stage(with_errors(block, held | self.poisoned.get(shard, {})))
        except (OSError, MemoryError):
            self.log.end(shard, number, trial)  # or it would count as a death when the shard is tried again
            raise
        except ROW_FAULTS as error:
            if type(error).__name__ in NODE_FAULTS:
                self.log.end(shard, number, trial)
                raise
            if isinstance(error, RunError) or trial == Trial(0, 0):
                raise  # without any row: the stage itself is at fault
            return None, Outcome(trial, survived=False, error=failure(self.name, error))
        if trial != Trial(0, block.num_rows):
            self.log.survive(shard, number, trial)
        return result, Outcome(trial, survived=True)

    def _settle(self, shard: int, number: int, trial: Trial) -> None:
        if number:
            self.log.forget(shard)
        else:
            self.log.end(shard, number, trial)

    def _blame(self, shard: int, row: int, past: list[Outcome]) -> None:
        """Remember a culprit, with what the trial that convicted it said."""
        said = [o.error for o in past if not o.survived and not o.trial.holds_back(row) and o.error]
        error: Error = said[-1]
        self.log.poison(shard, row, error)
        self.poisoned.setdefault(shard, {})[row] = error
        self.log.forget(shard)

    @contextlib.contextmanager
    def _limited(self, shard: int, number: int, trial: Trial) -> Iterator[None]:
        """End this process if the block takes longer than the limit; Ray starts another."""

        def end() -> None:
            try:
                self.log.late(shard, number, trial)
            finally:
                os._exit(1)

        timer = threading.Timer(self.limit, end)
        timer.daemon = True
        timer.start()
        faulthandler.dump_traceback_later(self.limit * BACKSTOP, exit=True)  # needs no interpreter lock
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            timer.cancel()


def with_errors(block: pa.Table, errors: dict[int, Error]) -> pa.Table:
    """The block with these rows' errors filled in, where they have none of their own."""
    if not errors:
        return block
    filled = [e or errors.get(row) for row, e in enumerate(block["error"].to_pylist())]
    return block.set_column(block.column_names.index("error"), "error", pa.array(filled, schema.ERROR))
