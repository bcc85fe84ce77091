"""Whether long dances are of one piece: python -m tests.long_dance RUN CLIPS.

RUN is the output of jobs/generate.py task=music_to_dance over music that is longer than the network's window, CLIPS a
table of real dances. Speeds are of all joints from frame to frame; a border is where a window begins or ends.
"""

import sys

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.kinds import decode_motion
from pipeline.models.windows import starts
from pipeline.motion.skeleton import FPS, Poses

WINDOW = 150  # frames


def speeds(poses: Poses) -> NDArray[np.float64]:
    """Metres a second [T - 1]: the mean over joints."""
    found: NDArray[np.float64] = np.linalg.norm(np.diff(poses.astype(np.float64), axis=0), axis=-1).mean(-1) * FPS
    return found


def main(run: str, clips: str) -> None:
    """Print a line for each dance."""
    cells = pq.read_table(clips, columns=["motion"])["motion"].to_pylist()
    real = np.concatenate([speeds(poses) for cell in cells if (poses := decode_motion(cell)) is not None])
    print(f"real dances: median {np.median(real):.2f}, 99th percentile {np.quantile(real, 0.99):.2f} m/s\n")
    print("| dance | seconds | borders | fastest step at a border | fastest step | median |\n" + "| --- " * 6 + "|")
    for row in pq.read_table(f"{run}/data", columns=["source_id", "motion"]).to_pylist():
        poses = decode_motion(row["motion"])
        if poses is None or len(poses) <= WINDOW:
            continue
        own, places = speeds(poses), starts(len(poses), WINDOW)
        borders = sorted({edge for p in places for edge in (p, p + WINDOW) if 0 < edge < len(poses)})
        fastest = max(own[max(0, b - 2) : b + 1].max() for b in borders)
        values = f"{fastest:.2f} | {own.max():.2f} | {np.median(own):.2f}"
        print(f"| {row['source_id']} | {len(poses) / FPS:.0f} | {len(borders)} | {values} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
