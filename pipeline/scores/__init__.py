"""Scores of one result: pure functions of a `Sample`, named in the task's `scores`.

A new score is one function, here or in a module of your own: `def mine(sample: Sample) -> float`. It returns
NaN (`MISSING`) where an input that it needs is absent.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = float("nan")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One result with what it was made from."""

    result: Any  # of the task's kind: RGB pixels [H, W, 3], poses [T, 22, 3], a str
    inputs: Mapping[str, Any]  # role -> decoded input, fitted to the result's size; absent roles are left out
    embedding: NDArray[np.float32]  # [E] of the result, unit length, in the judge's space
    input_embeddings: Mapping[str, NDArray[np.float32]]  # role -> [E], in the judge's space
