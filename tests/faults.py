"""Runs into which faults are thrown at seeded random moments, on a cluster of several nodes and a store that breaks.

One run is done by a few driver sessions of the same command, each of which meets some faults: one, then a shard or
two later the next. The last of them may end the driver.
"""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tenacity
from ray.cluster_utils import Cluster

from pipeline import ledger, storage
from pipeline.cluster import QUIET
from pipeline.run import fingerprints
from tests import make, saboteur, slow, tiny
from tests.proxy import KINDS as STORE_KINDS
from tests.proxy import Fault, Proxy

ROOT = Path(__file__).resolve().parent.parent
SHARD_ROWS = 2
SESSION_SECONDS = 400
POLL_SECONDS = 0.3
CPUS = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
HEALTH = {"health_check_initial_delay_ms": 5000, "health_check_period_ms": 2000, "health_check_timeout_ms": 10000}
STRUCK = (("PUT", "/data/"), ("PUT", "/attempts/"), ("GET", "/plan/"))  # requests that the store's faults befall
OPTIONS = [
    f"shard_rows={SHARD_ROWS}",
    "actors.samplers=0",  # as many as there are CPUs
    *("batch_size=2", "steps=1", "storage.shared=true"),
    *("failures.time_limit=6", "failures.max_fraction=0.5", *saboteur.ARGUMENTS),
]
ENDS = {"driver killed": -signal.SIGKILL, "SIGTERM": 1, "outage": 1}  # what ends a driver -> its exit code
CLEAR = {  # what its last line says
    "SIGTERM": "generate: stopped; the same command goes on: python",
    "outage": "the store does not answer (",
}


@dataclasses.dataclass
class Event:
    """One injected fault, and what is known of it."""

    kind: str
    store: str
    after: int  # shards that had to be done between the one before and this
    landed: int = -1  # shards that were done when it was injected
    note: str = ""


class Site:
    """Where all runs take place: a cluster, a store, and the notes of the saboteurs."""

    def __init__(self, folder: Path, cluster: Cluster, proxy: Proxy | None) -> None:
        self.folder, self.cluster, self.proxy = folder, cluster, proxy
        self.nodes: list[Any] = []
        self.joining: threading.Thread | None = None
        self.models = {"path": str(folder / "generator"), "judge": str(folder / "judge")}

    def ready(self) -> None:
        """Two nodes beside the head."""
        while len(self.nodes) < 2:
            self.add_node()

    @tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)
    def add_node(self) -> str:
        """One more; its id. Ray gives a node 15 s to start its agent: a busy machine may need more."""
        self.nodes.append(self.cluster.add_node(**CPUS))
        return str(self.nodes[-1].node_id)

    def command(self, pairs: str, output: str, *more: str) -> list[str]:
        """The command of a run."""
        arguments = make.arguments(self.models, pairs, output, *OPTIONS, *more)
        return [sys.executable, "jobs/generate.py", *arguments, f"cluster.address={self.cluster.address}"]

    def inject(self, event: Event, rng: random.Random) -> None:
        """Do it now."""
        if event.kind in STORE_KINDS:
            assert self.proxy is not None
            method, part = rng.choice(STRUCK)
            self.proxy.faults.append(Fault(event.kind, method, part, times=rng.randint(1, 3)))
        elif event.kind == "sampler killed":
            event.note = kill_sampler(rng)
        elif event.kind == "killed in a put":
            moment = rng.choice(("during", "after"))
            event.note = moment
            (saboteur.notes() / f"die-{moment}").write_text(f"{rng.uniform(0, 0.01):.4f}", "utf-8")
        elif event.kind == "node killed":
            older = self.nodes[:2]  # than one that joined
            self.nodes.remove(killed := rng.choice(older))
            self.cluster.remove_node(killed, allow_graceful=False)
        elif event.kind == "node added":
            self.joining = threading.Thread(target=self._join, args=(event,))  # which takes a busy machine long
            self.joining.start()

    def _join(self, event: Event) -> None:
        event.note = self.add_node()

    def settle(self) -> None:
        """Wait for a node that joins."""
        if self.joining:
            self.joining.join()


def kill_sampler(rng: random.Random) -> str:
    """Kill -9 one of the processes that sample; its id."""
    while True:
        _until(lambda: bool(samplers()))
        with contextlib.suppress(ProcessLookupError, IndexError):
            chosen = rng.choice(samplers())
            os.kill(chosen, signal.SIGKILL)
            return str(chosen)


@contextlib.contextmanager
def site(proxy: Proxy | None) -> Iterator[Site]:
    """A cluster with models, inside the AWS variables that are set now."""
    with tempfile.TemporaryDirectory(prefix="f", dir="/tmp", ignore_cleanup_errors=True) as root:
        folder = Path(root)
        for name in ("notes", "notes/samplers", "notes/worked"):
            (folder / name).mkdir()
        own = {**QUIET, "FAULTS_DIR": f"{root}/notes", "PYTHONPATH": str(ROOT), "RAY_raylet_start_wait_time_s": "120"}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        clip = tiny.clip_folder(folder / "clip", seed=0)
        tiny.generator_folder(folder / "generator", clip)
        tiny.clip_folder(folder / "judge", seed=1)
        head = {"include_dashboard": False, "temp_dir": f"{root}/r", "_system_config": HEALTH}
        # The head does no work: what samples can be killed with its node.
        own_end = {"shutdown_at_exit": False}  # that would be signal handlers, which no thread may set
        cluster = Cluster(initialize_head=True, head_node_args={**CPUS, "num_cpus": 0, **head}, **own_end)
        try:
            yield Site(folder, cluster, proxy)
        finally:
            cluster.shutdown()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


class Run:
    """One run on a stage: its input, its output, its drivers and its faults."""

    def __init__(self, site: Site, root: str, seed: int, inputs: int) -> None:
        self.site, self.seed, self.rng = site, seed, random.Random(seed)
        self.inputs, self.shards = inputs, inputs // SHARD_ROWS
        self.store = "s3" if root.startswith("s3://") else "local"
        self.output = f"{root}/run-{seed}"
        self.pairs = f"{root}/input/pairs-{seed}.parquet"
        self.events: list[Event] = []
        self.poisoned: dict[str, str] = {}

    def poison(self, kinds: list[str]) -> None:
        """Write the input, with these poisons in some of its rows, each in a shard of its own."""
        rows = tiny.rows(self.inputs)
        for kind, shard in zip(kinds, self.rng.sample(range(self.shards), len(kinds)), strict=True):
            row = rows[shard * SHARD_ROWS + self.rng.randrange(SHARD_ROWS)]
            row["text"] = saboteur.poison(kind, self.rng.choice(saboteur.STAGES))
            self.poisoned[str(row["id"])] = saboteur.POISONS[kind]
            self.events.append(Event(f"a row: {kind}", self.store, 0, 0, f"{row['id']}: {row['text']}"))
        storage.put(self.pairs, tiny.write(self.site.folder / "pairs.parquet", rows).read_bytes())

    def session(self, kinds: list[str], *more: str) -> None:
        """A driver that meets these faults, one as the shard after the other is done; the last may be its own end. A
        second run starts with it."""
        log = self.site.folder / f"driver-{self.store}-{self.seed}-{len(self.events)}.log"
        with log.open("w") as output, contextlib.ExitStack() as stack:
            drivers = [self._start(output, *more)]
            for event in self._events(kinds):
                event.landed = self._wait(event, drivers[0], log)
                if event.kind == "driver killed":
                    drivers[0].kill()
                elif event.kind == "SIGTERM":
                    drivers[0].terminate()
                elif event.kind == "second run":
                    drivers.append(self._start(output, *more))
                elif event.kind == "outage" and self.site.proxy is not None:
                    stack.enter_context(self.site.proxy.outage())
                else:
                    self.site.inject(event, self.rng)
            self.site.settle()
            codes = [driver.wait(SESSION_SECONDS) for driver in drivers]
        said, last = log.read_text("utf-8"), kinds[-1] if kinds else ""
        assert codes == [ENDS.get(last, 0), *[0] * (len(codes) - 1)], f"{codes}: {said[-3000:]}"
        assert CLEAR.get(last, "") in said, said[-3000:]

    def _events(self, kinds: list[str]) -> list[Event]:
        events = [Event(kind, self.store, after=int(kind != "second run")) for kind in kinds]
        self.events += events
        return events

    def _start(self, output: Any, *more: str) -> subprocess.Popen[bytes]:
        command = self.site.command(self.pairs, self.output, *more)
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    def _wait(self, event: Event, driver: subprocess.Popen[bytes], log: Path) -> int:
        """Until so many more shards are done, and a moment; how many that are."""
        deadline, before = time.monotonic() + SESSION_SECONDS, len(ledger.done(self.output))
        while len(ledger.done(self.output)) < before + event.after:
            assert driver.poll() is None, f"ended before {event}: {log.read_text('utf-8')[-3000:]}"
            assert time.monotonic() < deadline, f"too slow for {event}: {log.read_text('utf-8')[-3000:]}"
            time.sleep(POLL_SECONDS)
        time.sleep(self.rng.uniform(0, slow.SHARD_SECONDS))
        done = len(ledger.done(self.output))
        assert done < self.shards, f"no work was left for {event}, after {self.events}"
        return done


def worked(node: str) -> bool:
    """Whether a shard was sampled on a node."""
    return node in os.listdir(saboteur.notes() / "worked")


def samplers() -> list[int]:
    """Processes that sample and are alive."""
    noted = sorted(int(p.name) for p in (saboteur.notes() / "samplers").iterdir())
    return [pid for pid in noted if Path(f"/proc/{pid}").exists()]


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SESSION_SECONDS
    while not true():
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.1)


def reference(site: Site, inputs: int) -> dict[str, dict[str, object]]:
    """Results without any fault, without Ray."""
    from tests.test_end_to_end import results
    from tests.test_stages import run

    pairs = tiny.write(site.folder / "clean.parquet", tiny.rows(inputs))
    output = str(site.folder / "clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slow, "SHARD_SECONDS", 0)
        settings = make.generate(site.models, str(pairs), output, *OPTIONS)
        run(settings, weights=fingerprints(settings))
    (saboteur.notes() / "samplers" / str(os.getpid())).unlink()  # it sampled here: no fault is meant for this process
    return results(output)
