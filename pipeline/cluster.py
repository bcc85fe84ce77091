"""Reaching Ray: the cluster that a submitted job belongs to, a given address, or a local one for this job alone."""

import contextlib
import logging
import os
from collections.abc import Iterator

from pipeline.settings import Cluster

# Set before Ray is imported: it reads them once.
QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # a harmless C++ line about constructor arguments looks like an error
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's workers would yield to every other process
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "OMP_NUM_THREADS": "1",  # one thread per actor, one actor per core: spinning thread pools collapse
}


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
    ray.init(address=submitted or "local", logging_level=logging.ERROR, log_to_driver=worker_output, **local)
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def _quiet_data() -> None:
    """Our own progress replaces Ray Data's plan dumps and bars."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False


def faults() -> tuple[type[BaseException], ...]:
    """What Ray raises when work on the cluster fails."""
    import ray.exceptions

    return (ray.exceptions.RayError,)


def cause(error: BaseException) -> str:
    """The innermost reason of one of Ray's nested errors, in one line."""
    seen = error
    while (inner := getattr(seen, "cause", None) or seen.__cause__) is not None and inner is not seen:
        seen = inner
    lines = [line for line in str(seen).strip().splitlines() if line.strip()]
    return f"{type(seen).__name__}: {lines[-1].strip() if lines else ''}"
