"""How a process that computes on a CPU keeps its memory."""

import ctypes
import platform
from collections.abc import Sequence

# <malloc.h>: parameter of mallopt, and its value
KEPT: Sequence[tuple[int, int]] = ((-3, 2**25), (-1, 2**30))  # M_MMAP_THRESHOLD (its most), M_TRIM_THRESHOLD


def keep() -> bool:
    """Let glibc keep up to 1 GiB that was freed, for the next tensors; whether it does (false without glibc).

    By default it gives large blocks back to the kernel and takes them again, every step of a loop anew: page faults
    were 8 to 10 % of the CPU seconds of a sampling loop of the starter.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) for parameter, value in KEPT)
