"""Orders that break a run from the inside, as bad rows and dying processes do (given by faults.py).

Plug-ins of the run obey them: the text encoder of poisoned.py, the model of slow.py, and the score here. They are named
on the command line like any user's own, and leave notes for the one who gives the orders in the folder that
FAULTS_DIR names. Nothing here takes long to import: a worker that has died is started again in a moment.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import storage
from pipeline.scores import Sample

ARGUMENTS = [
    "task.encoders.text=tests.poisoned:Text",
    "task.backend=tests.slow:Backend",
    "+task.scores.mortal=tests.saboteur:mortal",
]
POISONS = {"raise": "ZeroDivisionError", "kill": "WorkerDied", "hang": "TimeLimit"}  # -> kind of the row's error
STAGES = ("encode", "score")  # where a poison works
POISON_SECONDS = 3600


def notes() -> Path:
    """Where notes are left."""
    return Path(os.environ["FAULTS_DIR"])


def die() -> None:
    """As the out-of-memory killer ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def poison(kind: str, stage: str) -> str:
    """The text of a row that raises, kills or hangs in a stage."""
    return f"{kind} in {stage}"


def obey(stage: str, texts: Sequence[str | None]) -> None:
    """Do in this stage what a text says."""
    if poison("raise", stage) in texts:
        raise ZeroDivisionError("by this text")
    if poison("kill", stage) in texts:
        die()
    if poison("hang", stage) in texts:
        time.sleep(POISON_SECONDS)


def poisoned(sample: Sample) -> float:
    """A score of no meaning that does what the input's text says."""
    obey("score", [sample.inputs.get("text")])
    return float(sample.result.mean())


def mortal(sample: Sample) -> float:
    """The same; its process, which puts the shard as well, dies in that put if so ordered."""
    for moment in ("during", "after"):
        with contextlib.suppress(FileNotFoundError):
            order = notes() / f"die-{moment}"
            delay = float(order.read_text("utf-8"))
            order.rename(order.with_suffix(f".taken-{os.getpid()}"))  # by one process only
            storage.put_new = _dying(storage.put_new, moment, delay)
    return poisoned(sample)


def _dying(put_new: Callable[[str, bytes], bool], moment: str, delay: float) -> Callable[[str, bytes], bool]:
    def put(uri: str, data: bytes) -> bool:
        if "/data/" not in uri:
            return put_new(uri, data)
        if moment == "during":
            threading.Timer(delay, die).start()
        put_new(uri, data)
        time.sleep(delay)
        die()
        return True

    return put
