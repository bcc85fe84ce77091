"""How each genre is accompanied: its tempo, its tunes, its instruments, its patterns.

A pattern is bars separated by "|", each a row of steps of equal length: "X" loud, "x" middling, "o" soft, "." silent;
for the bass "1" is the root and "5" the fifth of the bar's chord. Numbers of instruments are General MIDI's.
"""

import dataclasses
from collections.abc import Mapping

from pipeline.motion.beats import Prior

CLAVE, COWBELL, MARACAS, CONGA_SLAP, CONGA_HIGH, CONGA_LOW, CABASA = 75, 56, 70, 62, 63, 64, 69
KICK, SNARE, HAT, RIDE, CLAP = 36, 38, 42, 51, 39


@dataclasses.dataclass(frozen=True)
class Style:
    """The accompaniment of one genre."""

    words: str  # in captions
    prior: Prior  # of its tempo
    tunes: str  # kind of tune (tunes.py)
    metre: int
    leads: tuple[int, ...]  # instruments for the melody, of which one is drawn
    chord_program: int
    chords: str
    bass_program: int
    bass: str
    drums: Mapping[int, str]  # key of the drum kit -> pattern
    pad_program: int | None = None  # holds the chord of each bar
    broken: bool = False  # chords note by note
    swing: float = 0.0  # beats by which every second step of a drum comes late


STYLES = {
    "salsa": Style(
        "salsa", Prior(165, 0.05), "reel", 4, (56, 73, 65, 11), 0, "xx.x.x.x|x.xx.x.x", 33, "...5..1.",
        {
            CLAVE: "..X.X...|X..X..X.", MARACAS: "xoxoxoxo", COWBELL: "X.o.X.o.",
            CONGA_SLAP: "..x.....", CONGA_HIGH: "......Xx", CONGA_LOW: "o...o...",
        },
    ),
    "modern": Style(
        "modern dance", Prior(84, 0.35), "air", 3, (40, 71, 73, 42), 46, "Xxx", 42, "1..", {},
        pad_program=48, broken=True,
    ),
    "pop": Style(
        "pop dance in the style of Michael Jackson", Prior(108, 0.25), "hornpipe", 4, (81, 80, 61, 66), 4, "..x...x.",
        38, "1.5.1.5.", {HAT: "xoxoxoxo", KICK: "X..XX...", SNARE: "..X...X."},
    ),
    "lambada": Style(
        "lambada", Prior(132, 0.20), "reel", 4, (21, 73, 24), 24, "xx.x.x.x|x.xx.x.x", 32, "...5..1.",
        {
            CABASA: "X..XX.X.X..XX.X.", MARACAS: "xoxoxoxo", COWBELL: "X.o.X.o.", CONGA_HIGH: "......Xx",
            KICK: "X...X...",
        },
    ),
    "charleston": Style(
        "charleston", Prior(184, 0.20), "hornpipe", 4, (71, 56, 57), 3, "..x...x.", 32, "1.5.1.5.",
        {RIDE: "xoxoxoxo", KICK: "X...X...", SNARE: "..X...X."}, swing=0.17,
    ),
}  # fmt: skip
