"""Pickles, in which some data sets are published, read without ever being executed.

A pickle is a program. Here it can make numbers, text, lists, tuples, dictionaries and arrays of plain numbers, and ask
for nothing else: not even numpy's own constructors run, whose state a file could forge.
"""

import io
import math
import pickle  # its reader alone, everything but NAMES refused
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dance.reading import FormatError, content


class _Dtype:
    """Stands for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[<>|=]?(f[248]|[iu][1248]|b1)", code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")
        self.code, self.order = code.lstrip("<>|="), "=" if code[0] not in "<>|=" else code[0]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">", "|", "=") else self.order

    def array(self, raw: bytes, shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
        kind = np.dtype(self.order + self.code)
        if len(raw) != kind.itemsize * math.prod(shape):
            raise pickle.UnpicklingError("an array whose bytes are more or fewer than its shape needs")
        return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")


class _Array:
    """Stands for numpy.ndarray."""

    value: NDArray[Any]

    def __init__(self, *_: object) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = dtype.array(raw, shape, fortran)


def _scalar(dtype: _Dtype, raw: bytes) -> Any:
    return dtype.array(raw, (1,), fortran=False)[0]


def _from_buffer(raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    made = _Array()
    made.value = dtype.array(bytes(raw), shape, order == "F")
    return made


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding} is not read")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_NUMPY = ("numpy.core", "numpy._core")  # before and since numpy 2
NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    **{(f"{core}.multiarray", "_reconstruct"): _Array for core in _NUMPY},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _NUMPY},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _NUMPY},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused") from None


def read(path: Path) -> Any:
    """What a pickle holds. Raises FormatError where that is more than containers, numbers, text and arrays."""
    try:
        return _plain(_Reader(io.BytesIO(content(path)), encoding="latin1").load())
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise FormatError(f"{path} is no pickle of plain arrays: {error}") from error


def _plain(value: Any) -> Any:
    """The value with arrays for what stood for them."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(inner) for inner in value)
    return value
