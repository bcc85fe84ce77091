"""One command and all the processes that it starts: what they use, from outside.

CPU seconds survive a busy machine better than the clock does. Those of a process that has ended count as they were
when it was last seen.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil

from pipeline.settings import RunError

ROOT = Path(__file__).resolve().parent.parent.parent  # of the repository, where jobs/ stands
SECONDS = 0.25  # between two looks
IDLE = 0.2  # cores that are busy on a machine that has settled
PATIENCE = 60.0  # seconds that a machine is given to settle
LIBRARIES = ("libtorch", "_raylet")  # that say that a model or Ray was started


class BenchError(RunError):
    """A command that failed; the message says which, and where its output is."""


@dataclasses.dataclass(frozen=True)
class Look:
    """The process tree at one time."""

    time: float  # Unix seconds
    cpu: float  # seconds since the command began
    driver: float  # private MB of the command itself
    worker: float  # of the largest process below it
    total: float  # of all of them
    machine: float  # CPU seconds of everything that runs here, since it runs


@dataclasses.dataclass(frozen=True)
class Watched:
    """A command from its beginning to its end."""

    began: float  # Unix seconds
    ended: float
    looks: tuple[Look, ...]
    said: str  # stdout
    libraries: frozenset[str]  # those of LIBRARIES that the command itself had loaded, if that was asked for

    def cpu(self, first: float, last: float) -> float:
        """CPU seconds between two times."""
        return self._at("cpu", last) - self._at("cpu", first)

    def others(self, first: float, last: float) -> float:
        """Cores that everything else on the machine used between two times."""
        every = self._at("machine", last) - self._at("machine", first)
        return max(every - self.cpu(first, last), 0.0) / max(last - first, 1e-3)

    def peak(self, what: str) -> float:
        """Most MB of `driver`, `worker` or `total`."""
        return max((float(getattr(look, what)) for look in self.looks), default=0.0)

    def _at(self, what: str, when: float) -> float:
        """A figure between two looks."""
        times, values = [look.time for look in self.looks], [getattr(look, what) for look in self.looks]
        return float(np.interp(when, times, values)) if self.looks else 0.0


def settle() -> None:
    """Write what waits to be written, and wait until nothing else runs, as long as that may take."""
    os.sync()
    deadline = time.monotonic() + PATIENCE
    while psutil.cpu_percent(1) / 100 * (psutil.cpu_count() or 1) > IDLE and time.monotonic() < deadline:
        continue


@dataclasses.dataclass(frozen=True)
class Watch:
    """How a command is watched."""

    threads: int = 1
    until: Callable[[], bool] = lambda: False  # end it, and all that it started, as soon as this is true
    libraries: bool = False  # look which of LIBRARIES it loads; costs time at every look


TO_ITS_END = Watch()


def watch(command: Sequence[str], log: Path, how: Watch = TO_ITS_END) -> Watched:
    """Run a command in ROOT. Raises BenchError if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    place = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(how.threads)}
    cpu: dict[tuple[int, float], float] = {}
    looks, libraries, ended = [], set[str](), False
    with log.open("w+") as out, log.with_suffix(".stderr").open("w") as err:
        began = time.time()
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, env=place)  # noqa: S603
        try:
            while process.poll() is None:
                looks.append(_look(process.pid, cpu))
                if how.libraries:
                    libraries |= {name for name in LIBRARIES if name in _maps(process.pid)}
                if not ended and how.until():
                    _kill(process.pid)
                    ended = True
                time.sleep(SECONDS)
        finally:
            if process.poll() is None:
                _kill(process.pid)  # who stops the benchmark, stops what it measures
        last = time.time()
        out.seek(0)
        said = out.read()
    if process.returncode and not ended:
        raise BenchError(f"exit code {process.returncode} of {' '.join(command)}; see {log.with_suffix('.stderr')}")
    return Watched(began, last, tuple(looks), said, frozenset(libraries))


def _look(root: int, cpu: dict[tuple[int, float], float]) -> Look:
    private: dict[int, float] = {}
    for process in tree(root):
        try:
            with process.oneshot():
                used = process.cpu_times()
                cpu[process.pid, process.create_time()] = used.user + used.system
                memory = process.memory_info()
                private[process.pid] = (memory.rss - memory.shared) / 2**20
        except psutil.Error:  # it is gone
            continue
    below = [size for pid, size in private.items() if pid != root]
    driver = private.get(root, 0.0)
    total = driver + sum(below)
    return Look(time.time(), sum(cpu.values()), driver, max(below, default=0.0), total, _busy())


def _busy() -> float:
    """CPU seconds of the machine that were not idle."""
    spent = psutil.cpu_times()
    return float(sum(spent) - spent.idle - getattr(spent, "iowait", 0.0) - getattr(spent, "guest", 0.0))


def tree(root: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    try:
        own = psutil.Process(root)
        return [own, *own.children(recursive=True)]
    except psutil.Error:
        return []


def _maps(pid: int) -> str:
    """What a process has mapped, as far as one may look."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def _kill(root: int) -> None:
    """As when a machine goes down; it is down when this returns."""
    known: list[psutil.Process] = []
    while (own := tree(root)) != known:  # who has stopped starts no others
        _signal(own, signal.SIGSTOP)
        known = own
    _signal(known, signal.SIGKILL)
    while any(map(_alive, known)):
        time.sleep(0.05)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
