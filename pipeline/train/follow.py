"""The log of a training, followed where the job was started: lines for the person who waits, figures for trackers."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import storage
from pipeline.progress import QUIET_SECONDS, say
from pipeline.storage import Stored
from pipeline.train.notes import FOLDER
from pipeline.train.trackers import Point, Tracker

LOOK_SECONDS = 2.0


@contextlib.contextmanager
def following(output: str, epochs: int, trackers: Sequence[Tracker]) -> Iterator[None]:
    """One line per epoch on stderr, and every few seconds one within it, with the time that is left."""
    over = threading.Event()
    follower = Follower(output, epochs, trackers)

    def follow() -> None:
        last = False
        while not last:
            last = over.wait(LOOK_SECONDS)
            follower.look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for tracker in trackers:
            tracker.close()


class Follower:
    """What has been said and tracked of a log. What was there before is tracked, where it is missing, but not said."""

    def __init__(self, output: str, epochs: int, trackers: Sequence[Tracker]) -> None:
        self.output, self.epochs, self.trackers = output, epochs, trackers
        entries = self._list()
        self.said = {entry.uri for entry in entries}
        self.seen = _newest(entries)
        self.when = time.monotonic()
        self._track()

    def look(self) -> None:
        """Say and track what is new."""
        entries = self._list()
        fresh = [e for e in entries if e.uri not in self.said and not _of_steps(e)]
        for entry in fresh:
            figures = storage.read_json(entry.uri)
            values = " ".join(f"{k}={v:.4g}" for k, v in figures.items() if k not in ("epoch", "seconds"))
            say(f"epoch {figures['epoch']}/{self.epochs} {values}")
        self.said |= {e.uri for e in entries}
        if fresh:
            self._track()
        self._within(entries)

    def _within(self, entries: Sequence[Stored]) -> None:
        """Say how far the steps are."""
        newest = _newest(entries)
        if newest is None or newest == self.seen or time.monotonic() - self.when < QUIET_SECONDS:
            return
        self.seen, self.when = newest, time.monotonic()
        notes = storage.read_json(newest.uri)
        step = notes["first"] + len(notes["loss"])
        left = (notes["total"] - step) * notes["seconds_per_step"]
        recent = notes["loss"][-20:]
        say(f"step {step:,}/{notes['total']:,} loss={sum(recent) / len(recent):.4g} left={left:.0f}s")

    def _track(self) -> None:
        """Give each tracker the epochs that it does not know."""
        for tracker in self.trackers:
            for entry in self._list():
                if _of_steps(entry):
                    continue
                figures = storage.read_json(entry.uri)
                if figures["step"] > tracker.step:
                    tracker.log(self._points(tracker.step, figures))

    def _points(self, after: int, figures: dict[str, Any]) -> list[Point]:
        """Of the steps behind step `after`, and of the epoch that ends them."""
        last, seconds = figures["step"], figures["seconds"]
        points: dict[
            int, Point
        ] = {}  # a part that was done again from an earlier checkpoint may have been cut elsewhere
        for entry in self._list():
            if not _of_steps(entry) or int(entry.uri[-14:-5]) >= last:
                continue
            notes = storage.read_json(entry.uri)
            for index, values in enumerate(zip(notes["loss"], notes["gradient"], notes["lr"], strict=False), 1):
                if after < (step := notes["first"] + index) <= last:
                    named = zip(("loss", "gradient", "lr"), values, strict=True)
                    points[step] = Point(step, seconds, {f"step/{name}": value for name, value in named})
        own = {f"epoch/{name}": value for name, value in figures.items() if name not in ("step", "seconds")}
        return [*(points[step] for step in sorted(points)), Point(last, seconds, own)]

    def _list(self) -> list[Stored]:
        return storage.list_objects(storage.join(self.output, "log"), ".json")


def _newest(entries: Sequence[Stored]) -> Stored | None:
    """The newest notes of steps."""
    return max((e for e in entries if _of_steps(e)), key=lambda e: e.uri, default=None)


def _of_steps(entry: Stored) -> bool:
    return f"/{FOLDER}/" in entry.uri
