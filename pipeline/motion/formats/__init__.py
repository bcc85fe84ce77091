"""File formats that a dance is taken elsewhere in: one module each, a function `encode(dance) -> bytes`.

npz   arrays, for numpy                      gif   moving pictures that every page shows
bvh   skeleton and angles, for animators     mp4   the same with the music (needs imageio-ffmpeg)
glb   skeleton, body and angles, for 3D viewers, engines and Blender
"""

import dataclasses

from pipeline.motion.beats import Beats
from pipeline.motion.skeleton import Poses
from pipeline.sound import Waveform


@dataclasses.dataclass(frozen=True)
class Dance:
    """What a file may hold."""

    poses: Poses  # [T, 22, 3], T >= 1
    beats: Beats | None = None  # of the music, seconds
    music: Waveform | None = None
