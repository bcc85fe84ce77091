"""source=dance_sample: the embedded sample, music and words to dance to. Nobody's dance is in it.

Music is rendered from tunes that no training dance has heard, at a steady tempo; one row has no words and one no music,
for both may be missing. Results are as long as their music (options.seconds of the task where there is none).
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import progress
from pipeline.build import build
from pipeline.datasets.dance.accompaniment import arrange
from pipeline.datasets.dance.rendering import ogg, render
from pipeline.datasets.dance.rhythm import Rhythm
from pipeline.datasets.dance.styles import STYLES
from pipeline.datasets.dance.table import SCHEMA, declared
from pipeline.datasets.dance.tunes import choose
from pipeline.motion.skeleton import FPS
from pipeline.seeds import row_seed
from pipeline.settings import Prepare

LICENCE = (
    "tunes: O'Neill's Music of Ireland (1903), public domain; transcriptions as distributed with music21",
    "sound: arrangement made here, rendered with FluidR3_GM (MIT licence)",
)
PIECES = (  # style of the music ("" for none), beats a minute, words
    ("salsa", 165, "a person dances salsa, leading a partner"),
    ("salsa", 150, "a person dances salsa, following a partner"),
    ("salsa", 180, "energetic salsa, turning, with raised arms"),
    ("modern", 84, "slow modern dance, with raised arms"),
    ("modern", 105, "modern dance: sideways arabesque, folding arms, bending back"),
    ("modern", 72, "energetic modern dance, turning, travelling, jumping"),
    ("pop", 108, "pop dance in the style of Michael Jackson"),
    ("pop", 96, "slow pop dance in the style of Michael Jackson"),
    ("lambada", 132, "a person dances lambada"),
    ("lambada", 120, "moderate lambada, turning"),
    ("charleston", 184, "a person dances charleston"),
    ("charleston", 200, ""),
    ("", 0, "energetic salsa at 165 beats per minute"),
)
FIELDS = ("id", "text", "tune", "bpm", "beats", "audio", "motion")  # motion is null: there is no reference


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the source (conf/source/dance_sample.yaml)."""

    seconds: float  # of each piece
    seed: int  # of what is drawn: tunes, instruments


def from_nothing(settings: Prepare) -> pa.Table:
    """The sample."""
    options = build(Options, settings.source.options, "source.options")
    rows = []
    with progress.bar("pieces", len(PIECES)) as advance:
        for number, (style, bpm, text) in enumerate(PIECES):
            made = _music(style, bpm, options, row_seed(options.seed, style, number)) if style else {}
            rows.append({"id": f"{number:02d}_{style or 'words'}", "text": text or None, **made})
            advance(1, style)
    schema = pa.schema([SCHEMA.field(name) for name in FIELDS])
    return pa.Table.from_pylist(rows, declared(schema, LICENCE))


def _music(style: str, bpm: int, options: Options, seed: int) -> dict[str, Any]:
    """The columns of a piece of music."""
    played = STYLES[style]
    beats = np.arange(0, options.seconds, 60 / bpm)
    tune = choose(played.tunes, "test", seed)
    rhythm = Rhythm(beats, 0, played.metre)
    loudness = np.ones(round(options.seconds * FPS))
    wave = render(arrange(tune, played, rhythm, loudness, seed), options.seconds)
    audio = {"bytes": ogg(wave), "path": None}
    return {"tune": f"oneills1850/{tune.number}", "bpm": bpm, "beats": beats.tolist(), "audio": audio}
