"""source=cmu_dance: the dances of the CMU motion capture database, from the folder of raw files (docs/dance.md).

    bvh_daz/60_01_scaled.bvh …    salsa; 60 leads and 61 follows in the same take
    bvh_iclone/005_02.bvh …       modern dance
    amc_mjackson/131_01.amc …     pop, with mjackson.asf
    amc_other/                    lambada.amc, charleston1.amc, charleston2.amc with their .asf
    index.csv                     what CMU says of each trial

Splits are by take, so that both partners of a salsa stand in one.
"""

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import progress
from pipeline.build import build
from pipeline.datasets.dance import acclaim, bvh, reading, tunes
from pipeline.datasets.dance.accompaniment import arrange
from pipeline.datasets.dance.body import resample, retarget
from pipeline.datasets.dance.captions import captions
from pipeline.datasets.dance.carriers import ACCLAIM, DAZ, ICLONE, Carrier, assemble
from pipeline.datasets.dance.reading import FormatError
from pipeline.datasets.dance.rendering import render
from pipeline.datasets.dance.rhythm import Rhythm, follow, loudness
from pipeline.datasets.dance.styles import STYLES
from pipeline.datasets.dance.table import Cutting, Piece, clip, table
from pipeline.motion.skeleton import FPS, Poses
from pipeline.seeds import row_seed
from pipeline.settings import Prepare, SettingsError

LICENCE = (
    "motion: mocap.cs.cmu.edu, created with funding from NSF EIA-0196217; free for all uses, may be part of products, "
    "may not be resold by itself, even converted",
    "tunes: O'Neill's Music of Ireland (1903), public domain; transcriptions as distributed with music21",
    "sound: arrangement made here, rendered with FluidR3_GM (MIT licence)",
)
HELD_OUT = {  # genre -> numbers of trials
    "salsa": {"val": {9}, "test": {4, 11}},
    "modern": {"val": {12}, "test": {4, 18}},
    "pop": {"val": {14}, "test": {2, 9}},
}
OTHERS = {"lambada": (55, 2, "lambada"), "charleston1": (93, 4, "charleston"), "charleston2": (93, 5, "charleston")}
WALK = (5, 1)  # no dance, though it lies among them


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the source (conf/source/cmu_dance.yaml)."""

    seconds: float
    hop: float
    renderings: int
    seed: int


@dataclasses.dataclass(frozen=True)
class File:
    """One dance, not read yet."""

    subject: int
    trial: int
    genre: str
    path: Path
    skeleton: Path | None  # of an AMC
    carrier: Carrier
    description: str  # CMU's own

    @property
    def name(self) -> str:
        """As CMU writes it, e.g. 60_01."""
        return f"{self.subject:02d}_{self.trial:02d}"

    @property
    def take(self) -> str:
        """What dancers share who danced together, and so the music."""
        return f"60_{self.trial:02d}" if self.subject == 61 else self.name

    @property
    def role(self) -> str:
        """Of a partner."""
        return {60: "lead", 61: "follow"}.get(self.subject, "")

    @property
    def words(self) -> str:
        """What CMU says beyond the genre, e.g. "sideways arabesque, folding arms"."""
        said = self.description.replace("_", " ").removeprefix("dance - ").strip()
        return "" if said.removesuffix(" dance") == self.genre else said.lower()

    @property
    def split(self) -> str:
        """The split of the whole take."""
        held = HELD_OUT.get(self.genre, {})
        return next((split for split, trials in held.items() if self.trial in trials), "train")


def files(folder: Path) -> list[File]:
    """All dances below a folder. Raises SettingsError if there are none."""
    said = _descriptions(folder / "index.csv")
    found = sorted(_find(folder), key=lambda f: (f.subject, f.trial))
    if not found:
        raise SettingsError(f"{folder} has none of CMU's dances (bvh_daz/60_01_scaled.bvh …); see docs/dance.md")
    return [dataclasses.replace(f, description=said.get((f.subject, f.trial), "")) for f in found]


def _find(folder: Path) -> Iterator[File]:
    for kind, genre, carrier in (("bvh_daz", "salsa", DAZ), ("bvh_iclone", "modern", ICLONE)):
        for path in folder.glob(f"{kind}/*.bvh"):
            if (match := re.match(r"(\d+)_(\d+)", path.name)) and (key := (int(match[1]), int(match[2]))) != WALK:
                yield File(*key, genre, path, None, carrier, "")
    for path in folder.glob("amc_mjackson/*.amc"):
        if match := re.match(r"(\d+)_(\d+)", path.name):
            yield File(int(match[1]), int(match[2]), "pop", path, path.with_name("mjackson.asf"), ACCLAIM, "")
    for path in folder.glob("amc_other/*.amc"):
        if path.stem in OTHERS:
            subject, trial, genre = OTHERS[path.stem]
            yield File(subject, trial, genre, path, path.with_name(f"{genre}.asf"), ACCLAIM, "")


def _descriptions(path: Path) -> dict[tuple[int, int], str]:
    """(subject, trial) -> CMU's words."""
    rows = csv.DictReader(io.StringIO(reading.content(path).decode("utf-8", "replace")))
    try:
        return {(int(r["Subject"]), int(r["Trial #"])): r["Motion Description"] for r in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}, line {rows.line_num}: needs Subject, Trial # and Motion Description") from error


def read(file: File) -> Poses:
    """The motion of a dance, on the one body. Raises FormatError."""
    if file.skeleton:
        places = acclaim.positions(*acclaim.read(file.skeleton, file.path))
    else:
        places = bvh.positions(bvh.read(file.path))
    try:
        positions = assemble(places, file.carrier)
    except KeyError as error:
        raise FormatError(f"{file.path} has no joint {error}") from error
    if len(positions) < file.carrier.fps:
        raise FormatError(f"{file.path} has only {len(positions)} frames of motion")
    return retarget(resample(positions, file.carrier.fps))


def from_files(settings: Prepare) -> pa.Table:
    """The data set of a folder of raw files."""
    options = build(Options, settings.source.options, "source.options")
    found = sorted(files(Path(settings.input.path)), key=lambda file: (file.take, file.name))
    rows: list[dict[str, Any]] = []
    with progress.bar("dances", len(found)) as advance:
        for _, group in itertools.groupby(found, key=lambda file: file.take):
            dancers = list(group)
            rows += _take(dancers, options)
            advance(len(dancers), dancers[0].name)
    return table(sorted(rows, key=lambda row: str(row["id"])), LICENCE)


def _take(dancers: Sequence[File], options: Options) -> Iterator[dict[str, Any]]:
    """Rows of all who danced together."""
    motions = [read(file) for file in dancers]
    style = STYLES[dancers[0].genre]
    rhythm = follow(motions, style.prior, style.metre)
    cutting = Cutting(options.seconds, options.hop if dancers[0].split == "train" else options.seconds)
    cuts = [list(cutting.frames(len(poses))) for poses in motions]
    renderings = min(options.renderings, max(map(len, cuts)))
    pieces = [_play(dancers[0], max(motions, key=len), rhythm, n, options.seed) for n in range(renderings)]
    for file, poses, parts in zip(dancers, motions, cuts, strict=True):
        for number, (first, last) in enumerate(parts):
            row = clip(poses, pieces[number % len(pieces)], first, last)
            said = captions(poses[first:last], style.words, file.role, rhythm.bpm, file.words)
            yield row | {
                "id": f"cmu_{file.subject:03d}_{file.trial:02d}_{number:03d}",
                "text": said[0],
                "texts": said,
                "genre": file.genre,
                "trial": file.name,
                "split": file.split,
            }


def _play(file: File, poses: Poses, rhythm: Rhythm, number: int, seed: int) -> Piece:
    """One rendering of a tune for a dance."""
    style = STYLES[file.genre]
    drawn = row_seed(seed, file.take, number)
    tune = tunes.choose(style.tunes, file.split, drawn)
    music = arrange(tune, style, rhythm, loudness(poses), drawn)
    return Piece(render(music, len(poses) / FPS), rhythm.beats, rhythm.bpm, f"oneills1850/{tune.number}")
