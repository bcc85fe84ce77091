"""NumPy archive: poses float32 [T, 22, 3] in metres, Y up; fps; names and parents of the joints; beats in seconds."""

import io
from typing import Any

import numpy as np

from pipeline.motion.formats import Dance
from pipeline.motion.skeleton import FPS, JOINTS, PARENTS


def encode(dance: Dance) -> bytes:
    """The file, which np.load opens without pickles; without beats it has none."""
    out = io.BytesIO()
    arrays: dict[str, Any] = {"poses": dance.poses, "fps": FPS, "joints": JOINTS, "parents": PARENTS}
    if dance.beats is not None:
        arrays["beats"] = dance.beats
    np.savez_compressed(out, **arrays)
    return out.getvalue()
