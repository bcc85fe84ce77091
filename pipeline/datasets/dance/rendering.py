"""Music as MIDI -> sound, by FluidSynth and the General MIDI instruments of FluidR3 (MIT licence).

The program is used, not its Python binding: it is what every distribution packages, and a fault of it is an exit
code. Its sound has the same bytes each time; what differs is the number that Ogg gives each stream, and that is set.
"""

import io
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import mido
import numpy as np

from pipeline import sound
from pipeline.datasets.dance.accompaniment import Music
from pipeline.settings import RunError

TICKS = 480  # of a beat
SYNTHESIS_RATE = 32_000  # samples a second, before sound.py brings it to its own
SHORTEST = 0.08  # beats of a note
PEAK = 0.8
SECONDS = 600.0  # of music, at most
SOUNDFONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",  # Debian, Ubuntu
    "/usr/share/soundfonts/FluidR3_GM.sf2",  # Fedora, Arch
)
INSTALL = (
    "music is rendered by FluidSynth with the soundfont FluidR3_GM; install them (Debian: apt-get install fluidsynth "
    "fluid-soundfont-gm; macOS: brew install fluid-synth), and name a soundfont elsewhere in the variable SOUNDFONT"
)


def midi(music: Music) -> bytes:
    """A MIDI file whose beat k comes at music.grid[k] - music.grid[0] seconds: one tempo for each beat."""
    steps = np.diff(music.grid)
    events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = [
        (beat * TICKS, 0, mido.MetaMessage("set_tempo", tempo=round(step * 1e6))) for beat, step in enumerate(steps)
    ]
    events += [(0, 1, mido.Message("program_change", channel=c, program=p)) for c, p in music.programs.items()]
    for note in music.notes:
        start, end = note.beat, note.beat + max(note.beats, SHORTEST)
        if end <= len(steps):
            said = {"channel": note.channel, "note": note.pitch}
            events.append((round(start * TICKS), 3, mido.Message("note_on", velocity=note.velocity, **said)))
            events.append((round(end * TICKS), 2, mido.Message("note_off", **said)))
    events.append((len(steps) * TICKS, 4, mido.MetaMessage("end_of_track")))
    track, last = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - last))
        last = tick
    out = io.BytesIO()
    mido.MidiFile(ticks_per_beat=TICKS, tracks=[track]).save(file=out)
    return out.getvalue()


def render(music: Music, seconds: float) -> sound.Waveform:
    """The music from 0 on, exactly so long. Raises RunError without FluidSynth and its soundfont."""
    program, font = shutil.which("fluidsynth"), soundfont()
    if program is None:
        raise RunError(INSTALL)
    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder, "music.mid"), Path(folder, "music.wav")
        score.write_bytes(midi(music))
        options = ["-niq", "-g", "0.6", "-r", str(SYNTHESIS_RATE), "-F", str(wav)]
        done = subprocess.run([program, *options, font, str(score)], capture_output=True, check=False, timeout=600)  # noqa: S603
        if done.returncode or not wav.exists():
            raise RunError(f"fluidsynth failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
        wave = sound.decode(wav.read_bytes(), sound.Bounds(bytes=2**30, keep=SECONDS))
    start, length = round(-music.grid[0] * sound.RATE), round(seconds * sound.RATE)
    wave = wave[start : start + length]
    wave = np.pad(wave, (0, length - len(wave)))
    return np.asarray(wave * (PEAK / max(1e-6, float(np.abs(wave).max()))), np.float32)


def soundfont() -> str:
    """Path of the soundfont. Raises RunError, saying what to install."""
    named = os.environ.get("SOUNDFONT")
    for path in [named] if named else SOUNDFONTS:
        if Path(path).is_file():
            return path
    raise RunError(f"{named or SOUNDFONTS[0]} is not there: {INSTALL}")


def ogg(wave: sound.Waveform) -> bytes:
    """Ogg Vorbis of the same bytes each time: the stream's number, drawn at random, is set to zero in every page
    (RFC 3533), and so are the checksums right again."""
    data, start = bytearray(sound.encode_ogg(wave)), 0
    while start < len(data):
        segments = data[start + 26]
        end = start + 27 + segments + sum(data[start + 27 : start + 27 + segments])
        data[start + 14 : start + 18] = data[start + 22 : start + 26] = bytes(4)
        data[start + 22 : start + 26] = _checksum(bytes(data[start:end])).to_bytes(4, "little")
        start = end
    return bytes(data)


def _reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


REVERSED = bytes(_reversed_bits(byte, 8) for byte in range(256))


def _checksum(page: bytes) -> int:
    """Ogg's CRC: zlib's polynomial with bits the other way round, beginning with 0 and not inverted at the end."""
    started = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF)
    return _reversed_bits(started ^ 0xFFFFFFFF, 32)
