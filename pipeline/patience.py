"""What stores answer when they cannot: what is tried again, and how the rest is said.

s3fs and botocore themselves try again after cut connections, lost answers, 5xx and SlowDown, inside the bounds
that storage.py sets. What they leave to us is a 403: an expired token may have been renewed meanwhile.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import tenacity
from botocore.exceptions import BotoCoreError, EndpointConnectionError, HTTPClientError
from fsspec import AbstractFileSystem


class StorageError(OSError):
    """An object that cannot be used; the message says which and what to do."""


UNANSWERED = (EndpointConnectionError, HTTPClientError)  # a refused connection; a cut or a silent one


def status(error: BaseException | None) -> int:
    """HTTP status of the store's answer behind an error, 0 where there is none."""
    while error is not None:
        if response := getattr(error, "response", None):
            return int(response["ResponseMetadata"]["HTTPStatusCode"])
        error = error.__cause__
    return 0


def _renew(_: tenacity.RetryCallState) -> None:
    """Forget all open filesystems, and with them their credentials."""
    for kind in _kinds(AbstractFileSystem):
        kind.clear_instance_cache()


def _kinds(base: type[AbstractFileSystem]) -> Iterator[type[AbstractFileSystem]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


# Decorator: tried again, with credentials that are read anew, where the store refuses access (403).
patiently: Callable[[Any], Any] = tenacity.retry(
    retry=tenacity.retry_if_exception(lambda error: status(error) == 403),
    wait=tenacity.wait_exponential(1, max=4),
    stop=tenacity.stop_after_attempt(4),
    before_sleep=_renew,
    reraise=True,
)


@contextlib.contextmanager
def explained(verb: str, uri: str) -> Iterator[None]:
    """Turns what a store answers into a StorageError that names the object and says what to do."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, BotoCoreError, pa.ArrowException) as error:
        hint = " ".join(str(error).split())  # Arrow's may have several lines
        if status(error) == 403:
            hint = "the store refuses access; check the AWS_* variables or the role of this machine"
        elif isinstance(error, UNANSWERED):
            hint = f"the store does not answer ({hint}); look at it, the network and AWS_ENDPOINT_URL, then try again"
        raise StorageError(f"cannot {verb} {uri}: {hint}") from error
