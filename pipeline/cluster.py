"""Reaching Ray: the cluster that a submitted job belongs to, a given address, or a local one for this job alone."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from pipeline.settings import Cluster

# Set before Ray is imported: it reads them once.
QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # a harmless C++ line about constructor arguments looks like an error
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's workers would yield to every other process
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "OMP_NUM_THREADS": "1",  # one thread per actor, one actor per core: spinning thread pools collapse
}
STARTS = 3  # of a local node, at most


@contextlib.contextmanager
def connected(settings: Cluster, worker_output: bool = False) -> Iterator[None]:
    """A connection to Ray that ends with the block. A process that is connected already stays so.

    With `worker_output`, what workers print appears on this process's stderr.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    submitted = settings.address or os.environ.get("RAY_ADDRESS")
    local = {} if submitted else {"object_store_memory": settings.object_store_bytes, "include_dashboard": False}
    with _mute(), _own_sigterm():
        start(lambda: ray.init(submitted or "local", logging_level=logging.ERROR, log_to_driver=worker_output, **local))
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def start(init: Callable[[], object]) -> None:
    """Call `init`, which starts a node, once more if a busy machine was too slow for it: Ray waits 30 s, fixed in its
    code, and raises a plain Exception."""
    slow = retry_if_exception(lambda error: "timed out during startup" in str(error))
    Retrying(stop=stop_after_attempt(STARTS), retry=slow, reraise=True)(init)


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """The handler of SIGTERM that was there before the block is there after it: Ray puts one of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Nothing on file descriptor 2 while the block runs: Ray's C++ core remarks there that it will be quiet."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _quiet_data() -> None:
    """Our own progress replaces Ray Data's plan dumps and bars."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors reach the caller as exceptions
    ray.data.DataContext.get_current().enable_progress_bars = False


def faults() -> tuple[type[BaseException], ...]:
    """What Ray raises when work on the cluster fails."""
    import ray.exceptions

    return (ray.exceptions.RayError,)


def cause(error: BaseException) -> str:
    """What went wrong behind one of Ray's errors, in one line: Ray gives a worker's traceback as text.

    It is what this package itself raised, whose message says what to do, else what went wrong first.
    """
    if own := re.findall(r"^pipeline\.[\w.]+: (.+)$", str(error), re.MULTILINE):
        return str(own[-1])
    text = str(error).partition("\n\nThe above exception was the direct cause")[0]
    raised = re.findall(r"^([\w.]+(?:Error|Exception|Exit|Interrupt)): (.+)$", text, re.MULTILINE)
    if not raised:
        return f"{type(error).__name__}: {text.strip().splitlines()[0] if text.strip() else ''}"
    name, message = raised[-1]
    return f"{name.rsplit('.', 1)[-1]}: {message}"
