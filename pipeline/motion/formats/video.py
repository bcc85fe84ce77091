"""MP4 with the music: H.264 and AAC, which all browsers play. Needs imageio-ffmpeg, which brings ffmpeg along."""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

from pipeline.motion import drawing
from pipeline.motion.formats import Dance
from pipeline.motion.skeleton import FPS
from pipeline.sound import RATE, Waveform

SIZE = 480  # pixels along a side
OPTIONS = ("-movflags", "+faststart", "-shortest", "-crf", "23")


def available() -> bool:
    """Whether imageio-ffmpeg is installed."""
    return find_spec("imageio_ffmpeg") is not None


def encode(dance: Dance) -> bytes:
    """The file, about 25 kB a second; silent without music."""
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        path, sound = Path(folder) / "dance.mp4", Path(folder) / "music.wav"
        heard = {}
        if dance.music is not None:
            soundfile.write(sound, _lasting(dance.music, round(len(dance.poses) * RATE / FPS)), RATE)
            heard = {"audio_path": str(sound), "audio_codec": "aac"}
        writer = imageio_ffmpeg.write_frames(
            str(path),
            (SIZE, SIZE),
            fps=FPS,
            codec="libx264",
            quality=None,
            output_params=list(OPTIONS),
            ffmpeg_log_level="error",
            **heard,
        )
        writer.send(None)
        for picture in drawing.pictures(dance.poses, dance.beats, SIZE):
            writer.send(np.ascontiguousarray(picture))
        writer.close()
        return path.read_bytes()


def _lasting(music: Waveform, count: int) -> Waveform:
    """So many samples of it, ended with silence: ffmpeg would end the film with its music."""
    return np.pad(music[:count], (0, max(0, count - len(music))))
