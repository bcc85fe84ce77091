"""What real dances have in every measure of dances, as docs/motion.md shows it:
python -m tests.dance_values data/cmu_dance.parquet, the table that jobs/prepare.py source=cmu_dance makes."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.motion import beats, features, physics, stored
from pipeline.motion.formats import rig
from pipeline.motion.skeleton import FPS, Poses
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

HALVES = 10  # random halves of the training rows
DRAWS = 10  # of music for dances of the same genre


def values(rows: Sequence[Mapping[str, Any]], dances: Sequence[Poses], rng: np.random.Generator) -> Iterator[str]:
    """Cells of a line of the first table: means over these rows."""
    heard = [np.asarray(row["beats"], np.float64) for row in rows]
    rests = [beats.kinematic(poses) / FPS for poses in dances]
    drawn = [rng.permutation(len(rows)) for _ in range(DRAWS)]
    yield f"{np.nanmean([beats.alignment(*pair) for pair in zip(rests, heard, strict=True)]):.3f}"
    yield f"{np.nanmean([beats.null(*pair) for pair in zip(rests, heard, strict=True)]):.3f}"
    yield f"{np.nanmean([[beats.alignment(r, heard[i]) for r, i in zip(rests, d, strict=True)] for d in drawn]):.3f}"
    for measure, digits in ((physics.foot_contact, 2), (physics.foot_skating, 2), (physics.bone_deviation, 4)):
        yield f"{np.nanmean([measure(poses) for poses in dances]):.{digits}f}"
    yield f"{np.nanmean([physics.jerk(poses) for poses in dances]):.0f}"
    yield f"{1000 * np.mean([np.linalg.norm(rig.follow(p).positions() - p, axis=-1).mean() for p in dances]):.1f}"


def sets(found: np.ndarray, split: np.ndarray, rng: np.random.Generator) -> Iterator[str]:
    """Cells of a line of the second table, of features [N, D]."""
    z = features.standardised(found, found[split == "train"])
    train, test = z[split == "train"], z[split == "test"]
    orders = [rng.permutation(len(train)) for _ in range(HALVES)]
    middle = len(train) // 2
    halves = [frechet.distance(Moments.of(train[o[:middle]]), Moments.of(train[o[middle:]])) for o in orders]
    yield from (f"{features.diversity(part):.2f}" for part in (z, train, test))
    yield f"{np.mean(halves):.1f} ± {np.std(halves):.1f}"
    yield f"{frechet.distance(Moments.of(train), Moments.of(test)):.1f}"


def main(path: str) -> None:
    """Print both tables as Markdown."""
    rows, rng = pq.read_table(path).to_pylist(), np.random.default_rng(0)
    dances = [poses for row in rows if (poses := stored.decode(row["motion"])) is not None]
    genre, split = (np.array([row[name] for row in rows]) for name in ("genre", "split"))
    for name in (*sorted(set(genre)), "all"):
        own = np.flatnonzero((genre == name) | (name == "all"))
        cells = values([rows[i] for i in own], [dances[i] for i in own], rng)
        print(f"| {name} | {len(own)} | {' | '.join(cells)} |")
    for name, make in (("kinetic", features.kinetic), ("geometric", features.geometric)):
        print(f"| {name} | {' | '.join(sets(np.stack([make(p) for p in dances]), split, rng))} |")


if __name__ == "__main__":
    main(sys.argv[1])
