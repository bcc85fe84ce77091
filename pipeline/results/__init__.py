"""Kinds of results: what a backend's drawn tensors become, how they are stored, and what they are compared with.

A new kind is one file here: a class that is made of a `Task`, named "module:attribute" in the task's `result`. Nothing
here imports torch: a report of a finished run needs none.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.media import Pixels
from pipeline.settings import Task, resolve

if TYPE_CHECKING:
    from torch import Tensor


class Result(Protocol):
    """One kind. Values are arrays or texts, and their size is their length: pixels along a side, frames, letters."""

    kind: str  # of media (kinds.py): as which the judge and a reader of the page look at it
    fields: tuple[pa.Field, ...]  # columns of the output
    reference: str | None  # role of the inputs that holds a real result
    descriptors: Mapping[
        str, Callable[[NDArray[Any]], NDArray[np.float64]]
    ]  # by which sets are compared: of a value, [D]

    def size(self, inputs: Mapping[str, Any]) -> int | None:
        """The size that an input's decoded values, by role, give to its result; None where they have no say."""

    def fitted(self, kind: str, given: Any, size: int) -> Any:
        """An input's value of some kind of media as it is compared with a result of that size."""

    def array(self, drawn: "Tensor") -> NDArray[Any]:
        """Of B results as `Denoiser.decode` gives them: an array [B, …] of finite values, all of one size."""

    def value(self, row: NDArray[Any], size: int | None) -> Any:
        """The result in a row of such an array, of the size that its input gave."""

    def preview(self, value: Any, inputs: Mapping[str, Any]) -> Pixels:
        """A result as a person looks at it, beside decoded values of its input by role."""

    def moving(self, value: Any, inputs: Mapping[str, Any]) -> bytes | None:
        """A result as an animated picture, or as a film if there is sound among the input's values; None: it stands."""

    def columns(self, value: Any, xmp: bytes = b"") -> dict[str, Any]:
        """A result as the output stores it; `xmp` is what it says of itself where it is a file."""

    def stored(self, row: Mapping[str, Any]) -> Any:
        """The result that a row of the output holds; None where it holds none. Raises MediaError."""


def of(task: Task) -> Result:
    """The kind of a task's results. Raises SettingsError for a name that cannot be imported."""
    made: Result = resolve(task.result)(task)
    return made


def reference(task: Task, kind: str) -> str | None:
    """The role of a task that holds real results: of that kind of media, and if it can be no condition."""
    roles = [role for role, own in task.roles.items() if own == kind]
    return min(roles, key=lambda role: role in task.conditions, default=None)
