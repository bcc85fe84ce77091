"""Motions out of cells of a table, bounded: a list of T * 66 numbers, or the bytes of float16 [T, 22, 3]."""

from typing import Any

import numpy as np

from pipeline.media import MediaError
from pipeline.motion.skeleton import FPS, JOINTS, Poses

MOST_SECONDS = 600.0
FRAME = 3 * len(JOINTS)  # numbers of one frame


def decode(value: Any, seconds: float = MOST_SECONDS) -> Poses | None:
    """Poses [T, 22, 3] of a cell; None where it holds nothing. Raises MediaError for what is no motion, or too long."""
    if value is None or not len(value):
        return None
    given, width = (np.frombuffer(value, np.uint8), 2 * FRAME) if isinstance(value, bytes) else (value, FRAME)
    if len(given) % width:
        raise MediaError(f"holds {len(given):,} values, which are no whole frames of {len(JOINTS)} joints")
    if len(given) > seconds * FPS * width:
        raise MediaError(f"lasts {len(given) / width / FPS:,.0f} s; at most {seconds:,.0f} s are read")
    flat = np.frombuffer(value, "<f2") if isinstance(value, bytes) else given
    try:
        poses: Poses = np.asarray(flat, np.float32).reshape(-1, len(JOINTS), 3)
    except (ValueError, TypeError) as error:
        raise MediaError(f"holds what are no numbers: {error}") from error
    if not np.isfinite(poses).all():
        raise MediaError("holds joints whose place is no finite number")
    return poses
