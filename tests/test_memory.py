"""Memory that was freed stays with the process, for the next tensors."""

import json
import platform
import subprocess
import sys

import pytest

SIZE = 16 * 2**20
LOOK = f"""
import ctypes, json, sys
from pipeline import memory

class Info(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
kept = memory.keep() if sys.argv[1:] else None
block = libc.malloc({SIZE})
mapped = libc.mallinfo2().hblkhd
libc.free(block)
print(json.dumps([kept, mapped, libc.mallinfo2().arena]))
"""


def looked(*arguments: str) -> tuple[bool | None, int, int]:
    """Whether it was kept, bytes that were mapped apart from the heap, and of the heap once all is free."""
    said = subprocess.run([sys.executable, "-c", LOOK, *arguments], check=True, capture_output=True, text=True).stdout
    kept, mapped, heap = json.loads(said)
    return kept, mapped, heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_what_was_freed_stays_in_the_heap() -> None:
    _, mapped, heap = looked()
    assert mapped > SIZE
    assert heap < SIZE
    kept, mapped, heap = looked("keep")
    assert kept
    assert mapped < SIZE
    assert heap > SIZE
