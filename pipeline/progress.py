"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

QUIET_SECONDS = 10.0  # between two lines where stderr is no terminal
WATCH_SECONDS = 30.0  # between two looks at what keeps the work waiting

Advance = Callable[[int, str], None]  # (units that are done now, a remark)


@contextlib.contextmanager
def bar(what: str, total: int, done: int = 0) -> Iterator[Advance]:
    """A bar over `total` units of which `done` were there before."""
    with (_terminal if sys.stderr.isatty() else _lines)(what, total, done) as advance:
        yield advance


@contextlib.contextmanager
def watching(trouble: Callable[[], str], seconds: float = WATCH_SECONDS) -> Iterator[None]:
    """While the block runs, ask for trouble now and then, and say it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(seconds):
            if found := trouble():
                say(found)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def say(text: str) -> None:
    """One line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminal(what: str, total: int, done: int) -> Iterator[Advance]:
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=done, remark="")
        yield lambda units, remark: progress.update(task, advance=units, remark=remark)


@contextlib.contextmanager
def _lines(what: str, total: int, done: int) -> Iterator[Advance]:
    began = last = time.monotonic()
    fresh = 0

    def advance(units: int, remark: str) -> None:
        nonlocal fresh, last
        fresh += units
        now = time.monotonic()
        if now - last < QUIET_SECONDS and done + fresh < total:
            return
        last = now
        left = (now - began) / fresh * (total - done - fresh) if fresh else 0
        say(f"{what}: {done + fresh:,}/{total:,}, {fresh / (now - began):.1f}/s, {left:.0f} s left {remark}")

    yield advance
