"""Public-domain dance tunes: O'Neill's Music of Ireland (Chicago 1903), as ABC in the corpus of music21.

The collection is ordered by kind, so a tune is known by its number; titles and words are never read.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.seeds import digest
from pipeline.settings import RunError

KINDS = {"air": range(1, 626), "reel": range(1176, 1556), "hornpipe": range(1556, 1781)}
METRES = {"air": ("3/4",), "reel": ("C", "C|", "4/4"), "hornpipe": ("C", "C|", "4/4", "2/4")}
SPLITS = ("train", "train", "train", "val", "test")  # of a tune, by its number's hash
MAJOR = ((0, 4, 7), (5, 9, 0), (7, 11, 2), (9, 0, 4), (2, 5, 9))  # triads above the tonic
MINOR = ((0, 3, 7), (5, 8, 0), (7, 10, 2), (8, 0, 3), (10, 2, 5))


@dataclasses.dataclass(frozen=True)
class Tune:
    """A melody with a chord for each bar."""

    number: int  # in the collection
    notes: tuple[tuple[float, float, int], ...]  # (beat at which it begins, beats that it lasts, MIDI pitch)
    chords: tuple[tuple[int, ...], ...]  # pitch classes of a triad, root first
    metre: int  # beats in a bar


def split_of(number: int) -> str:
    """The split whose dances a tune may accompany: no song is heard in two."""
    return SPLITS[digest("tune", number)[0] % len(SPLITS)]


@cache
def collection() -> Mapping[str, Mapping[int, str]]:
    """Kind -> number -> ABC of every tune of it, in the order of numbers."""
    found: dict[str, dict[int, str]] = {kind: {} for kind in KINDS}
    for file in sorted((Path(_music21().__file__).parent / "corpus" / "oneills1850").glob("*.abc")):
        for abc in re.split(r"\n\s*\n(?=X:)", file.read_text("utf-8", errors="replace")):
            number, metre = re.search(r"^X: *(\d+)", abc, re.MULTILINE), re.search(r"^M: *(\S+)", abc, re.MULTILINE)
            for kind in KINDS if number and metre else ():
                if int(number[1]) in KINDS[kind] and metre[1] in METRES[kind]:  # type: ignore[index]
                    found[kind].setdefault(int(number[1]), abc)  # type: ignore[index]
    return {kind: dict(sorted(tunes.items())) for kind, tunes in found.items()}


def choose(kind: str, split: str, seed: int) -> Tune:
    """A tune of a kind for dances of a split. Those that music21 cannot read, and scraps, are passed over."""
    numbers = [number for number in collection()[kind] if split_of(number) == split]
    for number in sorted(numbers, key=lambda n: digest("choose", seed, n)):
        if (tune := _parse(kind, number)) and len(tune.chords) >= 4 and len(tune.notes) >= 16:
            return tune
    raise RunError(f"the corpus of music21 has no readable {kind} for the {split} split")


def _parse(kind: str, number: int) -> Tune | None:
    """A tune, its pickup left out; None if music21 cannot read it."""
    music21 = _music21()
    abc = collection()[kind][number]
    try:
        score = music21.converter.parseData(abc, format="abc")
    except (music21.Music21Exception, ValueError, IndexError, AttributeError, TypeError):
        return None  # what its parser raises at a slip of a transcriber's pen
    part = (score.scores[0] if isinstance(score, music21.stream.Opus) else score).parts[0].stripTies()
    key = next(iter(part.recurse().getElementsByClass(music21.key.KeySignature)), music21.key.KeySignature(0)).asKey()
    stretch = 2.0 if re.search(r"^M: *2/4", abc, re.MULTILINE) else 1.0  # its semiquavers become quavers
    notes = [
        (float(n.getOffsetInHierarchy(part)) * stretch, float(n.quarterLength) * stretch, int(n.pitches[-1].midi))
        for n in part.recurse().notes
        if n.quarterLength > 0
    ]
    metre = 3 if kind == "air" else 4
    notes = _without_pickup(notes, metre)
    chords = harmony(notes, key.tonic.pitchClass, MINOR if key.mode == "minor" else MAJOR, metre)
    return Tune(number, tuple(notes), chords, metre)


def _without_pickup(notes: Sequence[tuple[float, float, int]], metre: int) -> list[tuple[float, float, int]]:
    """The notes from the first bar line on: tunes that begin before it end so much earlier."""
    pickup = max((start + length for start, length, _ in notes), default=0) % metre
    if not 0.1 < pickup < metre - 0.1:
        return list(notes)
    return [(start - pickup, length, pitch) for start, length, pitch in notes if start >= pickup]


def harmony(
    notes: Sequence[tuple[float, float, int]], tonic: int, triads: Sequence[tuple[int, ...]], metre: int
) -> tuple[tuple[int, ...], ...]:
    """For each bar the triad that most of its melody belongs to; the tonic's, and the one before, if in doubt."""
    bars = round(max((start + length for start, length, _ in notes), default=0) / metre)
    chosen: list[tuple[int, ...]] = []
    for bar in range(bars):
        sounding = [0.0] * 12
        for start, length, pitch in notes:
            inside = min(start + length, (bar + 1) * metre) - max(start, bar * metre)
            sounding[(pitch - tonic) % 12] += max(0.0, inside)
        before = chosen[-1] if chosen else None
        chosen.append(max(triads, key=lambda t: sum(sounding[p] for p in t) + 0.3 * (t[0] == 0) + 0.2 * (t == before)))
    return tuple(tuple((pitch + tonic) % 12 for pitch in triad) for triad in chosen)


def _music21() -> Any:
    """music21, which is needed for nothing else. Raises RunError, saying what to install."""
    try:
        import music21
    except ImportError as error:
        raise RunError("dances are accompanied by tunes of music21; install it: pip install -e '.[prepare]'") from error
    return music21
