"""A piece of music as a small picture: its mel spectrum over time, and a mark below it on each beat."""

import numpy as np
from PIL import Image

from pipeline.media import Pixels
from pipeline.sound import Waveform

WIDTH, HEIGHT, MARKS = 288, 96, 8  # pixels; the marks' own share of the height
PAPER, INK, MARK = (255, 255, 255), (24, 60, 110), (213, 94, 0)


def picture(wave: Waveform) -> Pixels:
    """RGB pixels [HEIGHT, WIDTH, 3], low notes at the bottom. It imports torch, which takes seconds."""
    import torch

    from pipeline.music import BEAT, MEL, MusicFeatures

    heard = MusicFeatures()(torch.from_numpy(wave)).numpy()  # [T, CHANNELS]
    loud = ((heard[:, MEL].T[::-1] + 1) / 2).clip(0, 1)[..., None]  # [bands, T, 1]
    shades = (1 - loud) * PAPER + loud * INK
    size = (WIDTH, HEIGHT - MARKS)
    spectrum = Image.fromarray(shades.round().astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    marks = np.full((MARKS, WIDTH, 3), PAPER, np.uint8)
    marks[2:, beats(heard[:, BEAT]) * WIDTH // len(heard)] = MARK
    return np.vstack([np.asarray(spectrum), marks])


def beats(phase: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Frames at which a beat falls, of the sine and cosine [T, 2] of its phase: there the sine rises through 0."""
    sine, cosine = phase.T
    return np.flatnonzero((sine[:-1] < 0) & (sine[1:] >= 0) & (cosine[1:] > 0)) + 1
