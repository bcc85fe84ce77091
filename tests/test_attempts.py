"""Bisection finds exactly the rows that kill, in few deaths, and blames none where none is to blame."""

import random

import pytest

from pipeline import attempts, storage
from pipeline.attempts import Attempts, Blameless, Culprit, Outcome, Trial, next_step


def play(rows: int, poison: set[int]) -> tuple[set[int], int]:
    """(rows that were blamed, deaths) until a whole shard comes through without them."""
    blamed: set[int] = set()
    past: list[Outcome] = []
    deaths = 0
    while True:
        step = next_step(rows, past)
        assert not isinstance(step, Blameless)
        if isinstance(step, Culprit):
            blamed.add(step.row)
            past = []
            continue
        dies = any(not step.holds_back(r) for r in poison - blamed)
        if not dies and step == Trial(0, rows):
            return blamed, deaths
        deaths += dies
        past.append(Outcome(step, survived=not dies))


@pytest.mark.parametrize("rows", [1, 2, 3, 16, 17, 256])
def test_every_single_poisoned_row_is_found(rows: int) -> None:
    for row in range(rows):
        blamed, deaths = play(rows, {row})
        assert blamed == {row}
        assert deaths <= 3 + (rows - 1).bit_length()


def test_several_poisoned_rows_are_found() -> None:
    rng = random.Random(0)
    for _ in range(200):
        rows = rng.randrange(2, 40)
        poison = set(rng.sample(range(rows), rng.randrange(1, min(rows, 5) + 1)))
        assert play(rows, poison)[0] == poison


def died(*trials: Trial) -> list[Outcome]:
    return [Outcome(t, survived=False) for t in trials]


def test_no_row_is_blamed_for_a_worker_that_dies_without_rows() -> None:
    whole, none = Trial(0, 8), Trial(0, 0)
    assert next_step(8, died(whole)) == whole  # one death may be the node's
    assert next_step(8, died(whole, whole)) == none
    assert isinstance(next_step(8, died(whole, whole, none)), Blameless)


def test_no_row_is_blamed_for_what_only_the_whole_shard_does() -> None:
    whole, none = Trial(0, 4), Trial(0, 0)
    past = died(whole, whole)
    for trial in (none, Trial(0, 2), Trial(2, 3), Trial(3, 4)):
        assert next_step(4, past) == trial
        past.append(Outcome(trial, survived=True))
    assert next_step(4, past) == whole
    assert isinstance(next_step(4, [*past, *died(whole)]), Blameless)


def test_a_dead_workers_attempts_are_read_back(place: str) -> None:
    log, other = Attempts(place, "encode", "aaaa"), Attempts(place, "encode", "bbbb")
    assert log.past(3) == []
    assert log.begin(3, 0, Trial(0, 8))
    assert not log.begin(3, 0, Trial(0, 8))  # someone died on it
    log.late(3, 0, Trial(0, 8))
    assert log.begin(3, 1, Trial(0, 0))
    log.survive(3, 1, Trial(0, 0))
    assert other.begin(3, 0, Trial(0, 8))
    past = log.past(3)
    assert [(o.trial, o.survived) for o in past] == [(Trial(0, 8), False), (Trial(0, 0), True)]
    assert past[0].error
    assert past[0].error["kind"] == "TimeLimit"
    log.forget(3)
    assert log.past(3) == []
    assert len(other.past(3)) == 1
    other.end(3, 0, Trial(0, 8))
    assert storage.list_objects(place) == []


def test_poisoned_rows_are_remembered_until_forgiven(place: str) -> None:
    error = {"stage": "encode", "kind": "WorkerDied", "message": "killed"}
    Attempts(place, "encode", "aaaa").poison(3, 7, error)
    Attempts(place, "encode", "aaaa").poison(4, 1, error)
    assert Attempts(place, "encode", "bbbb").poisoned() == {3: {7: error}, 4: {1: error}}
    assert Attempts(place, "sample", "bbbb").poisoned() == {}
    attempts.forgive(place, [3])
    assert Attempts(place, "encode", "bbbb").poisoned() == {4: {1: error}}
