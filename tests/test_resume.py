"""kill -9 of the driver in the middle of a run, then the same command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import audit, ledger
from tests import make

ROOT = Path(__file__).resolve().parent.parent
MORE = ("num_samples=4", "steps=15")  # 24 shards that take about half a second each


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "jobs/generate.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_leaves_whole_shards_and_says_how_to_go_on(models: dict[str, str], pairs: str, tmp_path: Path) -> None:
    place = str(tmp_path / "out")
    driver = start(make.arguments(models, pairs, place, *MORE))
    deadline = time.monotonic() + 180
    while not ledger.done(place) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.terminate()
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "stopped; the same command goes on: python jobs/generate.py input.path=" in err
    plan = ledger.load(place)
    assert plan is not None
    found = audit.audit(place, plan)
    assert not found.unlawful
    assert 0 < found.missing < plan.rows


@pytest.mark.timeout(900)  # four drivers, on a machine that may be busy
def test_a_killed_run_goes_on_where_it_was(models: dict[str, str], pairs: str, tmp_path: Path) -> None:
    place = str(tmp_path / "out")
    arguments = make.arguments(models, pairs, place, *MORE)
    driver = start(arguments)
    deadline = time.monotonic() + 180
    while len(ledger.done(place)) < 3 and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    time.sleep(2)  # its workers notice and go
    plan = ledger.load(place)
    assert plan is not None
    assert plan.shards == 24
    before = {o.uri: Path(o.uri).stat().st_mtime_ns for o in ledger.data_objects(place)}
    assert 3 <= len(before) < plan.shards
    part = audit.audit(place, plan)
    assert not part.unlawful
    assert part.missing == plan.rows - 4 * len(before)

    again = start(arguments)
    out, err = again.communicate(timeout=400)
    assert again.returncode == 0, err
    assert f"{plan.shards - len(before)} to do" in err
    assert out.splitlines()[-1] == f"{place}/report/index.html"
    assert audit.audit(place, plan).holds
    after = {o.uri: Path(o.uri).stat().st_mtime_ns for o in ledger.data_objects(place)}
    assert {uri: after[uri] for uri in before} == before

    third = start(arguments)
    _, err = third.communicate(timeout=60)
    assert third.returncode == 0
    assert "0 to do" in err
