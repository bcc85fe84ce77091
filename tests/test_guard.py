"""A row that raises, hangs or kills becomes a failed row; a stage that fails without rows is the run's fault."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from pipeline import schema, storage
from pipeline.attempts import Attempts
from pipeline.settings import RunError
from pipeline.stages import Job
from pipeline.stages.guard import Guard, with_errors
from tests import make

Models = dict[str, str]
WORKERS = multiprocessing.get_context("forkserver")  # each worker is forked from one process that has imported torch
WORKERS.set_forkserver_preload(["tests.test_guard"])


def block(*words: str) -> pa.Table:
    rows = len(words)
    return pa.table({"shard": pa.array([5] * rows, pa.int32()), "word": words, "error": pa.nulls(rows, schema.ERROR)})


def touchy(table: pa.Table) -> pa.Table:
    """A stage that looks at every row without an error, and does what it says."""
    for row in table.to_pylist():
        word = "" if row["error"] else row["word"]
        if word == "raise":
            raise ZeroDivisionError("by this row")
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hang":
            time.sleep(60)
        if word == "store":
            raise OSError("the store is away")
        if word == "memory":
            raise torch.OutOfMemoryError("the card is full")
    return table.append_column("done", pa.array([True] * len(table)))


def job(output: Path, *more: str) -> Job:
    return Job(make.generate({"path": "m", "judge": "j"}, "in", str(output), *more), {}, session="0123abcd")


def errors(table: pa.Table) -> list[str | None]:
    return [e and f"{e['stage']} {e['kind']} {e['message']}" for e in table["error"].to_pylist()]


def test_rows_that_raise_fail_alone(tmp_path: Path) -> None:
    guarded = Guard("encode", touchy, job(tmp_path))
    done = guarded(block("a", "raise", "b", "c", "raise"))
    failed = "encode ZeroDivisionError by this row"
    assert errors(done) == [None, failed, None, None, failed]
    assert done["done"].to_pylist() == [True] * 5
    names = [o.uri.rsplit("/", 1)[-1] for o in storage.list_objects(str(tmp_path))]
    assert names == ["00000005-encode-1.json", "00000005-encode-4.json"]  # poison alone is remembered
    again = Guard("encode", touchy, job(tmp_path))
    assert errors(again(block("a", "raise", "b", "c", "raise"))) == errors(done)


@pytest.mark.parametrize(
    ("word", "fault", "message"),
    [("store", OSError, "the store is away"), ("memory", torch.OutOfMemoryError, "the card is full")],
)
def test_a_fault_of_store_or_node_blames_no_row(
    tmp_path: Path, word: str, fault: type[Exception], message: str
) -> None:
    guarded = Guard("encode", touchy, job(tmp_path))
    for _ in range(5):  # the fault lasts; a shard of one row has no other row to share the blame
        with pytest.raises(fault, match=message):
            guarded(block(word))
    log = Attempts(str(tmp_path), "encode", "0123abcd")
    assert log.poisoned() == {}
    assert log.past(5) == []


def test_a_stage_that_raises_without_rows_is_at_fault_itself(tmp_path: Path) -> None:
    def broken(table: pa.Table) -> pa.Table:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        Guard("encode", broken, job(tmp_path))(block("a", "b"))
    assert Attempts(str(tmp_path), "encode", "0123abcd").poisoned() == {}


def attempt(output: Path, words: list[str], limit: str) -> None:
    Guard("sample", touchy, job(output, f"failures.time_limit={limit}"))(block(*words))


def workers(output: Path, words: list[str], limit: str = "60") -> int:
    """Deaths of workers until one comes through, as Ray would start them."""
    for deaths in range(12):
        worker = WORKERS.Process(target=attempt, args=(output, words, limit))
        worker.start()
        worker.join()
        if worker.exitcode == 0:
            return deaths
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("word", "limit", "kind"),
    [("kill", "60", "WorkerDied killed its worker"), ("hang", "0.5", "TimeLimit took longer than failures.time_limit")],
)
def test_a_row_that_ends_its_process_is_found(tmp_path: Path, word: str, limit: str, kind: str) -> None:
    words = ["a", "b", word, "c"]
    assert workers(tmp_path, words, limit) == 3  # the shard twice; then [a, b] comes through and [word] does not
    found = Attempts(str(tmp_path), "sample", "other").poisoned()
    assert list(found) == [5]
    assert list(found[5]) == [2]
    assert f"{found[5][2]['kind']} {found[5][2]['message']}".startswith(kind)


def test_workers_that_die_without_rows_end_the_run(tmp_path: Path) -> None:
    log = Attempts(str(tmp_path), "encode", "0123abcd")
    from pipeline.attempts import Trial

    for number, trial in enumerate([Trial(0, 2), Trial(0, 2), Trial(0, 0)]):
        log.begin(5, number, trial)
    with pytest.raises(RunError, match="stage encode kills its worker on shard 5: it also dies when all rows"):
        Guard("encode", touchy, job(tmp_path))(block("a", "b"))


def test_errors_are_filled_in_where_there_is_none() -> None:
    own, other = ({"stage": s, "kind": "K", "message": ""} for s in ("decode", "sample"))
    table = with_errors(block("a", "b", "c"), {1: own})
    assert with_errors(table, {0: other, 1: other})["error"].to_pylist() == [other, own, None]
