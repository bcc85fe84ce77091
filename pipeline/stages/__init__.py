"""What an actor is: load -> encode -> sample -> finish. One shard is one block from the first to the last.

Between load and sample a block has one row per input of the shard, its planned rows nested in it, so that
evidence is encoded and carried once per input; from sample on it has one row per planned row. A row that
fails stays where it is and carries its error: the batches of the others do not change.
"""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

from pipeline.schema import Error
from pipeline.settings import Generate

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Job:
    """What every actor of a run is built from. Holds no secret: filesystems are built inside the workers."""

    settings: Generate
    provenance: Mapping[str, str]  # what the output says of models, versions and device of every row
    session: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:8])  # of this driver (attempts.py)


def failure(stage: str, error: Exception, what: str = "") -> Error:
    """A row's error from an exception."""
    return {"stage": stage, "kind": type(error).__name__, "message": f"{what} {error}".strip()[:1000]}


def attempt(stage: str, what: str, work: Callable[[], T]) -> tuple[T | None, Error | None]:
    """(result, None), or (None, the row's error): the one place where anything that goes wrong is the row's fault.

    Only work on one row's own content belongs here; a fault of a store or a node must abort the shard instead.
    """
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001
        return None, failure(stage, error, what)
