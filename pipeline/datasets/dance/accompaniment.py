"""A tune played for a dance: melody, chords, bass and drums on the beats that the dance has.

The motion is real and comes first; the music follows it, as an accompanist follows a dancer. What is real and what is
made is told in docs/dance.md.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from pipeline.datasets.dance.rhythm import Curve, Rhythm
from pipeline.datasets.dance.styles import Style
from pipeline.datasets.dance.tunes import Tune
from pipeline.motion.skeleton import FPS

MELODY, CHORDS, BASS, PAD, DRUMS = 0, 1, 2, 3, 9  # channels
LOUD = {"X": 104, "x": 82, "o": 54}
BASS_VELOCITY, PAD_VELOCITY, MELODY_VELOCITY = 102, 46, 92
BASS_OCTAVE, CHORD_OCTAVE = 36, 60  # C of them, as MIDI pitches


@dataclasses.dataclass(frozen=True)
class Note:
    """One note of one instrument."""

    beat: float  # from the first beat of the music
    channel: int
    pitch: int
    beats: float  # how long
    velocity: int


@dataclasses.dataclass(frozen=True)
class Music:
    """What is played, in beats, and when each beat comes."""

    notes: tuple[Note, ...]
    programs: dict[int, int]  # channel -> instrument
    grid: Curve  # seconds of each beat; the first is a downbeat at or before 0


def grid(rhythm: Rhythm, seconds: float) -> Curve:
    """Beats carried on at their median interval, from a downbeat at or before 0 until two bars after the end."""
    beats, step = rhythm.beats, np.median(np.diff(rhythm.beats))
    before = int(np.ceil(beats[0] / step)) + rhythm.metre
    after = max(0, int(np.ceil((seconds - beats[-1]) / step))) + 2 * rhythm.metre
    times = np.concatenate([beats[0] - step * np.arange(before, 0, -1), beats, beats[-1] + step * np.arange(1, after)])
    downbeats = np.arange((before + rhythm.downbeat) % rhythm.metre, len(times), rhythm.metre)
    return np.asarray(times[downbeats[times[downbeats] <= 0][-1] :])


def arrange(tune: Tune, style: Style, rhythm: Rhythm, loudness: Curve, seed: int) -> Music:
    """A tune as music of a style for a dance of len(loudness) frames."""
    rng = np.random.default_rng(seed)
    times = grid(rhythm, len(loudness) / FPS)
    lead, shift = int(rng.choice(style.leads)), int(rng.integers(-2, 3))
    notes = [*_melody(tune, len(times) - 1, rng), *_chords(tune, style, len(times) - 1), *_drums(style, len(times) - 1)]
    sounds = np.interp([note.beat for note in notes], np.arange(len(times)), times)
    swell = np.interp(sounds, np.arange(len(loudness)) / FPS, loudness)
    played = tuple(_played(note, shift, factor) for note, factor in zip(notes, swell.tolist(), strict=True))
    programs = {MELODY: lead, CHORDS: style.chord_program, BASS: style.bass_program}
    return Music(played, programs | ({PAD: style.pad_program} if style.pad_program is not None else {}), times)


def _played(note: Note, shift: int, factor: float) -> Note:
    """The note transposed by semitones (drums are not) and with its loudness changed."""
    pitch = note.pitch if note.channel == DRUMS else min(max(note.pitch + shift, 0), 127)
    return dataclasses.replace(note, pitch=pitch, velocity=int(min(max(note.velocity * factor, 20), 127)))


def _melody(tune: Tune, beats: int, rng: np.random.Generator) -> Iterator[Note]:
    """The tune again and again."""
    length = len(tune.chords) * tune.metre
    for repeat in range(beats // length + 1):
        for start, lasting, pitch in tune.notes:
            beat = repeat * length + start
            if start < length and beat < beats:
                yield Note(beat, MELODY, pitch, 0.92 * lasting, MELODY_VELOCITY + int(rng.integers(-6, 7)))


def _steps(pattern: str, bar: int, metre: int) -> Iterator[tuple[int, float, str]]:
    """(step, beat within the bar, mark) of what sounds in a bar of a pattern."""
    bars = pattern.split("|")
    marks = bars[bar % len(bars)]
    for step, mark in enumerate(marks):
        if mark != ".":
            yield step, step * metre / len(marks), mark


def _chords(tune: Tune, style: Style, beats: int) -> Iterator[Note]:
    """Chords, bass and pad."""
    for bar in range(beats // style.metre):
        root, third, fifth = tune.chords[bar % len(tune.chords)]
        triad = [CHORD_OCTAVE + (p if p < 7 else p - 12) for p in (root, third, fifth)]
        start = bar * style.metre
        for step, beat, mark in _steps(style.chords, bar, style.metre):
            for pitch in [triad[step % 3]] if style.broken else triad:
                yield Note(start + beat, CHORDS, pitch, 1.1 if style.broken else 0.35, LOUD[mark] - 8)
        for _, beat, mark in _steps(style.bass, bar, style.metre):
            pitch = BASS_OCTAVE + (root if mark == "1" else fifth)
            yield Note(start + beat, BASS, pitch, 0.9 if style.drums else 2.8, BASS_VELOCITY)
        if style.pad_program is not None:
            yield from (Note(start, PAD, pitch, 0.98 * style.metre, PAD_VELOCITY) for pitch in triad)


def _drums(style: Style, beats: int) -> Iterator[Note]:
    """The patterns of all drums."""
    for bar in range(beats // style.metre):
        for key, pattern in style.drums.items():
            for step, beat, mark in _steps(pattern, bar, style.metre):
                late = style.swing if step % 2 else 0.0
                yield Note(bar * style.metre + beat + late, DRUMS, key, 0.2, LOUD[mark])
