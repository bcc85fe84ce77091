"""pipeline/datasets/dance: rhythm.py, tunes.py, styles.py, accompaniment.py, rendering.py."""

import io
from pathlib import Path

import mido
import numpy as np
import pytest

from pipeline import sound
from pipeline.datasets.dance import rendering, tunes
from pipeline.datasets.dance.accompaniment import DRUMS, Music, Note, arrange, grid
from pipeline.datasets.dance.rhythm import Rhythm, follow, loudness, speed, stillness
from pipeline.datasets.dance.styles import STYLES
from pipeline.datasets.dance.tunes import MAJOR, Tune, harmony
from pipeline.motion.beats import Prior
from pipeline.settings import RunError
from tests import dancer, mocap

WALTZ = Tune(
    1, tuple((float(beat), 1.0, 60 + beat) for beat in range(12)), ((0, 4, 7), (7, 11, 2), (0, 4, 7), (5, 9, 0)), 3
)


def sways(seconds: float, bpm: float, quiet: int | None = None) -> np.ndarray:
    """A dancer who is still on every beat; on each fourth, from `quiet`, one also moves less until the next."""
    frames = round(seconds * 30)
    x = mocap.swaying(frames, 30, bpm)
    if quiet is not None:
        beat = np.arange(frames) / 30 * bpm / 60
        x = np.cumsum(np.gradient(x) * np.where((beat.astype(int) - quiet) % 4 == 0, 0.3, 1))
    return dancer.standing(frames) + x[:, None, None] * np.array([1, 0, 0])


@pytest.mark.parametrize("bpm", [96.0, 165.0])
def test_the_beat_of_a_dancer_is_where_the_body_is_still(bpm: float) -> None:
    found = follow([sways(10, bpm)], Prior(120, 0.4), 4)
    assert found.bpm == pytest.approx(bpm, rel=0.01)
    off = found.beats * bpm / 60
    assert np.abs(off - off.round())[1:-1].max() < 0.1


@pytest.mark.parametrize("quiet", [0, 1, 2, 3])
def test_a_bar_begins_after_the_beat_on_which_the_body_rests(quiet: int) -> None:
    found = follow([sways(12, 120, quiet)], Prior(120, 0.1), 4)
    first = round(found.beats[found.downbeat] * 2)
    assert (first - quiet - 1) % 4 == 0


def test_partners_are_heard_together_for_as_long_as_both_dance() -> None:
    found = follow([sways(10, 120), dancer.standing(180) + 0.0], Prior(120, 0.3), 4)
    assert found.bpm == pytest.approx(120, rel=0.01)
    assert found.beats[-1] <= 6


def test_stillness_is_high_where_speed_is_low() -> None:
    fast = speed(sways(5, 120))
    assert np.corrcoef(fast, stillness(fast))[0, 1] < -0.5
    assert stillness(fast).min() == 0


def test_music_swells_with_the_dancer() -> None:
    calm, wild = sways(6, 120), 3 * sways(6, 120)
    volume = loudness(np.concatenate([calm, wild]))
    assert len(volume) == 360
    assert volume[300] > volume[60] + 0.1
    assert 0.7 <= volume.min() <= volume.max() <= 1.25


@pytest.mark.parametrize(("first", "downbeat", "metre"), [(0.1, 0, 4), (0.9, 3, 4), (2.3, 1, 3), (0.0, 2, 3)])
def test_the_grid_begins_with_a_bar_before_the_dance_and_outlasts_it(first: float, downbeat: int, metre: int) -> None:
    rhythm = Rhythm(first + 0.5 * np.arange(8), downbeat, metre)
    times = grid(rhythm, 7.0)
    assert times[0] <= 0 < times[metre]
    assert times[-1] >= 7 + 0.5 * metre
    np.testing.assert_allclose(np.diff(times), 0.5)
    assert ((rhythm.beats[downbeat] - times[0]) / 0.5 / metre) % 1 == pytest.approx(0, abs=1e-9)


def test_a_bar_has_the_chord_of_its_melody() -> None:
    notes = [(beat, 1.0, pitch) for beat, pitch in enumerate([60, 64, 67, 72, 67, 71, 74, 67, 65, 69, 72, 65])]
    assert harmony(notes, 0, MAJOR, 4) == ((0, 4, 7), (7, 11, 2), (5, 9, 0))
    assert harmony([(b, d, p + 2) for b, d, p in notes], 2, MAJOR, 4) == ((2, 6, 9), (9, 1, 4), (7, 11, 2))


def test_tunes_are_of_their_kind_and_of_one_split() -> None:
    kinds = tunes.collection()
    assert {kind: len(found) > 100 for kind, found in kinds.items()} == {"air": True, "reel": True, "hornpipe": True}
    for kind, metre in (("air", 3), ("reel", 4), ("hornpipe", 4)):
        chosen = tunes.choose(kind, "val", 7)
        assert chosen == tunes.choose(kind, "val", 7)
        assert (chosen.metre, tunes.split_of(chosen.number)) == (metre, "val")
        assert chosen.number in tunes.KINDS[kind]
        ends = max(beat + beats for beat, beats, _ in chosen.notes)
        assert abs(ends - metre * len(chosen.chords)) <= metre / 2
    with pytest.raises(RunError, match="no readable reel for the none split"):
        tunes.choose("reel", "none", 0)


@pytest.mark.parametrize("name", STYLES)
def test_music_of_a_style_is_within_bounds_and_drawn_by_its_seed(name: str) -> None:
    style = STYLES[name]
    rhythm = Rhythm(np.arange(0.2, 8, 60 / style.prior.bpm), 1, style.metre)
    tune = WALTZ if style.metre == 3 else Tune(1, WALTZ.notes, WALTZ.chords[:3], 4)
    music = arrange(tune, style, rhythm, np.ones(240), 3)
    assert str(music) == str(arrange(tune, style, rhythm, np.ones(240), 3))
    assert str(music) != str(arrange(tune, style, rhythm, np.ones(240), 4))
    assert all(0 <= n.pitch < 128 and 0 < n.velocity < 128 and n.beat >= 0 for n in music.notes)
    assert {n.channel for n in music.notes} == set(music.programs) | ({DRUMS} if style.drums else set())
    for pattern in [style.chords, style.bass, *style.drums.values()]:
        assert set(pattern) <= set("Xxo.15|")


def test_each_beat_of_a_midi_file_comes_when_the_grid_says() -> None:
    times = np.cumsum([-0.7, 0.5, 0.4, 0.61, 0.37])
    clicks = tuple(Note(float(beat), DRUMS, 37, 0.2, 100) for beat in range(4))
    file = mido.MidiFile(file=io.BytesIO(rendering.midi(Music(clicks, {0: 56}, times))))
    now, heard = 0.0, []
    for message in file:  # mido applies the tempi
        now += message.time
        if message.type == "note_on":
            heard.append(now)
    np.testing.assert_allclose(heard, times[:4] - times[0], atol=1e-4)
    assert file.length == pytest.approx(times[-1] - times[0], abs=1e-4)


def test_rendered_clicks_are_heard_on_their_beats() -> None:
    times = np.array([-0.5, 0.1, 0.42, 0.61, 1.4])
    clicks = tuple(Note(float(beat), DRUMS, 37, 0.2, 120) for beat in range(4))
    music = Music(clicks, {}, times)
    wave = rendering.render(music, 1.0)
    assert wave.shape == (sound.RATE,)
    assert np.abs(wave).max() == pytest.approx(rendering.PEAK, rel=1e-5)
    for beat in times[1:4]:
        around = np.abs(wave[round((beat - 0.03) * sound.RATE) : round((beat + 0.05) * sound.RATE)])
        onset = beat - 0.03 + np.argmax(around > 0.3 * around.max()) / sound.RATE
        assert onset == pytest.approx(beat, abs=0.012)
    assert np.array_equal(wave, rendering.render(music, 1.0))


def test_ogg_has_the_same_bytes_each_time_and_sounds_as_before() -> None:
    wave = np.sin(np.arange(24_000) / 9).astype(np.float32) / 2
    first = rendering.ogg(wave)
    assert first == rendering.ogg(wave)
    ours, theirs = (sound.decode(data, sound.Bounds()) for data in (first, sound.encode_ogg(wave)))
    np.testing.assert_array_equal(ours, theirs)  # libogg drops a page whose checksum is wrong


def test_what_is_missing_is_answered_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    music = Music((), {}, np.arange(3.0))
    monkeypatch.setenv("SOUNDFONT", str(tmp_path / "none.sf2"))
    with pytest.raises(RunError, match=r"none.sf2 is not there: .*apt-get install fluidsynth fluid-soundfont-gm"):
        rendering.render(music, 1.0)
    font = tmp_path / "font.sf2"
    font.write_bytes(b"RIFF")
    monkeypatch.setenv("SOUNDFONT", str(font))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="music is rendered by FluidSynth"):
        rendering.render(music, 1.0)
