"""One command and all the processes that it starts: what they use, from outside.

CPU seconds survive a busy machine better than the clock does. Those of a process that has ended count as they were
when it was last seen.
"""

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent  # of the repository, where jobs/ stands
SECONDS = 0.25  # between two looks
LIBRARIES = ("libtorch", "_raylet")  # that say that a model or Ray was started


class BenchError(RuntimeError):
    """A command that failed; the message says which, and where its output is."""


@dataclasses.dataclass(frozen=True)
class Look:
    """The process tree at one time."""

    time: float  # Unix seconds
    cpu: float  # seconds since the command began
    driver: float  # private MB of the command itself
    worker: float  # of the largest process below it
    total: float  # of all of them


@dataclasses.dataclass(frozen=True)
class Watched:
    """A command from its beginning to its end."""

    began: float  # Unix seconds
    ended: float
    looks: tuple[Look, ...]
    said: str  # stdout
    libraries: frozenset[str]  # those of LIBRARIES that were loaded

    def cpu(self, first: float, last: float) -> float:
        """CPU seconds between two times."""
        return self._at(last) - self._at(first)

    def peak(self, what: str) -> float:
        """Most MB of `driver`, `worker` or `total`."""
        return max((float(getattr(look, what)) for look in self.looks), default=0.0)

    def _at(self, when: float) -> float:
        before = [look for look in self.looks if look.time <= when]
        after = [look for look in self.looks if look.time > when]
        if not before or not after:
            return (before or after)[-1 if before else 0].cpu if self.looks else 0.0
        a, b = before[-1], after[0]
        return a.cpu + (b.cpu - a.cpu) * (when - a.time) / (b.time - a.time)


def watch(command: Sequence[str], log: Path, threads: int = 1, until: Callable[[], bool] = lambda: False) -> Watched:
    """Run a command in ROOT; end it, and all that it started, as soon as `until` is true. Raises BenchError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    place = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    cpu: dict[tuple[int, float], float] = {}
    looks, libraries, ended = [], set[str](), False
    with log.open("w+") as out, log.with_suffix(".stderr").open("w") as err:
        began = time.time()
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, env=place)  # noqa: S603
        try:
            while process.poll() is None:
                looks.append(_look(process.pid, cpu, libraries))
                if not ended and until():
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


def _look(root: int, cpu: dict[tuple[int, float], float], libraries: set[str]) -> Look:
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
    libraries |= {name for name in LIBRARIES if name in _maps(root)}
    below = [size for pid, size in private.items() if pid != root]
    driver = private.get(root, 0.0)
    return Look(time.time(), sum(cpu.values()), driver, max(below, default=0.0), driver + sum(below))


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
    """As when a machine goes down."""
    for process in tree(root):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
