"""Animated GIF: what motion/drawing.py draws."""

from pipeline.motion import drawing
from pipeline.motion.formats import Dance

SIZE, PICTURES = 320, 15  # pixels along a side, pictures a second


def encode(dance: Dance) -> bytes:
    """The file, about 30 kB a second."""
    return drawing.animation(dance.poses, dance.beats, SIZE, PICTURES)
