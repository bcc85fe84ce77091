"""What music, text and both do for dances, beside real ones, in the spaces of several judges (docs/results.md):
python -m tests.dance_table RUN CLIPS JUDGE [JUDGE ...].

RUN is the output of jobs/generate.py task=music_to_dance 'sweep.drop=[none,text,music]' over some of CLIPS, the table
that jobs/prepare.py source=cmu_dance makes. Every line has as many dances as every other: a figure is the mean of
those of each sample of all clips and of each judge. Intervals (95 %) are the jackknife over trials: clips of one dance
are left out together.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.conditions.dance import Space
from pipeline.evaluation import intervals
from pipeline.evaluation.sets.cross import SCALE
from pipeline.kinds import decode_audio, decode_motion
from pipeline.models.checkpoint import fingerprint
from pipeline.motion import features
from pipeline.motion.skeleton import Poses
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments
from tests.dance_values import values as measured
from tests.long_dance import speeds

CELLS = {"music alone": "drop=text", "text alone": "drop=music", "music + text": "drop=none"}
Values = NDArray[np.float64]  # [1 + T] of all clips, then without each of the trials


@dataclasses.dataclass(frozen=True)
class Clips:
    """The clips that were danced to."""

    music: list[NDArray[np.float32]]
    real: list[Poses]
    trial: NDArray[np.str_]
    beats: list[list[float]]

    def each(self, of: Callable[[NDArray[np.bool_]], float]) -> Values:
        """A figure of chosen clips."""
        left_out = [self.trial != trial for trial in np.unique(self.trial)]
        return np.array([of(chosen) for chosen in [np.ones(len(self.trial), bool), *left_out]])


def lines(run: str, path: str) -> tuple[Clips, dict[str, list[list[Poses]]]]:
    """The clips, and of each line of the table the dances [samples][clips]."""
    made = pq.read_table(f"{run}/data", columns=["source_id", "cell", "sample_index", "motion"])
    ids = sorted(set(made["source_id"].to_pylist()))
    table = pq.read_table(path, columns=["id", "split", "trial", "audio", "motion", "beats"])
    rows = {row["id"]: row for row in table.filter(pc.is_in(table["id"], pa.array(ids))).to_pylist()}
    real = [motion(rows[i]["motion"]) for i in ids]
    music, trial = [heard(rows[i]["audio"]) for i in ids], np.array([rows[i]["trial"] for i in ids])
    clips = Clips(music, real, trial, [rows[i]["beats"] for i in ids])
    samples = sorted(set(made["sample_index"].to_pylist()))
    where = {(r["cell"], r["sample_index"], r["source_id"]): motion(r["motion"]) for r in made.to_pylist()}
    found = {name: [[where[cell, s, i] for i in ids] for s in samples] for name, cell in CELLS.items()}
    rng = np.random.default_rng(0)
    train = table.filter(pc.equal(table["split"], "train"))["motion"].to_pylist()
    found["real motion"] = [real]
    found["other real motion"] = [[motion(train[i]) for i in rng.choice(len(train), len(ids))] for _ in samples]
    found["real motion, shuffled"] = [[real[i] for i in rng.permutation(len(ids))] for _ in samples]
    return clips, found


def motion(cell: object) -> Poses:
    """A dance; all of these have one."""
    poses = decode_motion(cell)
    assert poses is not None
    return poses


def heard(cell: object) -> NDArray[np.float32]:
    """A piece of music."""
    wave = decode_audio(cell)
    assert wave is not None
    return wave


def distances(clips: Clips, dances: dict[str, list[list[Poses]]], judge: Space) -> dict[str, tuple[Values, Values]]:
    """Of each line (Frechet audio distance, joint Frechet distance) in a judge's space, means over samples."""
    own = {name: [embedded(judge, "motion", d) for d in samples] for name, samples in dances.items()}
    music = embedded(judge, "audio", clips.music)
    [real] = own["real motion"]
    beside = np.concatenate([music, real], 1)

    def audio(x: Values) -> Values:
        return clips.each(lambda c: frechet.distance(Moments.of(music[c]), Moments.of(x[c])))

    def joint(x: Values) -> Values:
        pairs = np.concatenate([music, x], 1)
        return clips.each(lambda c: frechet.distance(Moments.of(beside[c]), Moments.of(pairs[c])))

    return {
        name: (np.mean([audio(x) for x in samples], 0), np.mean([joint(x) for x in samples], 0))
        for name, samples in own.items()
    }


def embedded(judge: Space, kind: str, values: Sequence[object]) -> NDArray[np.float64]:
    """[N, E] of length SCALE."""
    return SCALE * judge.embed(kind, values).double().numpy()


def diversity(clips: Clips, dances: dict[str, list[list[Poses]]]) -> dict[str, Values]:
    """Dist_k of each line, in units of the spread of these real dances."""
    real = np.stack([features.kinetic(p) for p in clips.real])

    def spread(x: Values) -> Values:
        z = features.standardised(x, real)
        return clips.each(lambda c: features.diversity(z[c]))

    return {
        name: np.mean([spread(np.stack([features.kinetic(p) for p in own])) for own in samples], 0)
        for name, samples in dances.items()
    }


def table(run: str, path: str, judges: Sequence[str]) -> Iterator[str]:
    """Lines of Markdown."""
    clips, dances = lines(run, path)
    each = [distances(clips, dances, Space.load(folder)) for folder in judges]
    audio = {name: np.mean([own[name][0] - own["real motion"][0] for own in each], 0) for name in dances}
    joint = {name: np.mean([own[name][1] for own in each], 0) for name in dances}
    spread = diversity(clips, dances)
    trials, samples = len(set(clips.trial)), len(dances["music + text"])
    yield f"{len(clips.trial)} clips of {trials} dances, {samples} samples of each.\n"
    yield "| | Frechet audio distance, excess | joint Frechet distance | Dist_k |\n| --- | --- | --- | --- |"
    for name in dances:
        yield row(name, [x[name] for x in (audio, joint, spread)], clips)
    yield row(
        "music + text : music alone", [x["music + text"] / x["music alone"] for x in (audio, joint, spread)], clips
    )
    yield f"\n| judge | real motion | {' | '.join(CELLS)} |\n| --- | --- |{' --- |' * len(CELLS)}"
    for folder, own in zip(judges, each, strict=True):
        values = [f"{own[name][0][0]:.2f}; {own[name][1][0]:.2f}" for name in ("real motion", *CELLS)]
        yield f"| {fingerprint(folder)[:8]}: audio; joint | {' | '.join(values)} |"
    yield from bodies(clips, dances)


def bodies(clips: Clips, dances: dict[str, list[list[Poses]]]) -> Iterator[str]:
    """Whether these could be bodies that dance to the music: means, and the slowest and the fastest dance."""
    heads = ["", "clips", "beats", "null", "shuffled", "foot contact", "skating", "bones", "jerk", "rig, mm", "m/s"]
    yield f"\n| {' | '.join(heads)} |"
    yield "| --- " * 11 + "|"
    for name in ("real motion", *CELLS):
        made = [poses for sample in dances[name] for poses in sample]
        rows = [{"beats": beats} for _ in dances[name] for beats in clips.beats]
        cells = measured(rows, made, np.random.default_rng(0))
        means = [speeds(poses).mean() for poses in made]
        yield f"| {name} | {len(made)} | {' | '.join(cells)} | {min(means):.2f} to {max(means):.2f} |"


def row(name: str, values: Sequence[Values], clips: Clips) -> str:
    """A line of the table: figures with their intervals."""
    found = [intervals.jackknifed(float(v[0]), v[1:].tolist(), len(clips.trial)) for v in values]
    return f"| {name} | {' | '.join(map(str, found))} |"


if __name__ == "__main__":
    for line in table(sys.argv[1], sys.argv[2], sys.argv[3:]):
        print(line)
