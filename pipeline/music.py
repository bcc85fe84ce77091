"""What a dancer hears: CHANNELS numbers for each frame of a dance, out of a waveform (sound.py).

    0:64   log-mel spectrum, in dB below the piece's loudest band, scaled: -1 is RANGE dB below it or silence, 1 is it
    64     onset strength, in [0, 2]: rises of loudness, 1 for a strong one of this piece
    65:67  sine and cosine of the beat's phase, 0 on the beat; both 0 where no beat can be found
    67     1 where there is music, to tell it from padding

Frame i is centred at sample round(i * RATE / FPS): 16,000 samples over 30 frames is no whole number, so no hop of
fixed length stays with the dance. All but the beat is the same at any volume.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.motion.beats import BPM, Beats, Prior, tempo, track
from pipeline.motion.skeleton import FPS
from pipeline.sound import RATE, Waveform

BANDS, LOWEST, HIGHEST = 64, 30.0, 8000.0  # mel bands, and the range that they cover, Hz
WINDOW = 1024  # samples
CHANNELS = BANDS + 4
MEL, ONSET, BEAT, MUSIC = slice(0, BANDS), BANDS, slice(BANDS + 1, BANDS + 3), BANDS + 3

RANGE = 80.0  # dB between the loudest band and what counts as silence
FLOOR = 1e-12  # power
QUIET = 1e-4  # power of the loudest band of a piece that is all but silent: 70 dB below a sine of full scale
LOUDNESS = 0.3  # power of the power as which it is heard (Stevens 1957)
STRONG = 0.95  # quantile of the onset strengths of a piece that is scaled to 1 ...
WEAK = 0.01  # ... if it is at least so much of its loudest band
PRIOR = Prior(135, 0.6)  # of the tempo of dance music, which salsa moves above the usual 120
RATIOS = (1, 3 / 2, 2 / 3, 2, 1 / 2)  # what trackers mistake a tempo for, the octaves and, in syncopated music, thirds


class MusicFeatures(nn.Module):
    """Waveforms [..., S], of at least half a WINDOW and one of them like any other -> features [..., T, CHANNELS]."""

    channels = CHANNELS
    filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.from_numpy(mel_filters()), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    @torch.no_grad()
    def forward(self, waves: Tensor) -> Tensor:
        """Features [..., T, CHANNELS] of waveforms [..., S], T = `frames(S)`. Each row is a piece for itself."""
        decibels = relative(self.log_mel(waves))
        rises = onset(loudness(decibels))
        strong = rises.quantile(STRONG, -1, keepdim=True).clamp(min=WEAK)
        beat = [phase(pulse(r.double().cpu().numpy()), r.shape[-1]) for r in rises.reshape(-1, rises.shape[-1])]
        phases = torch.from_numpy(np.stack(beat)).to(rises).view(*rises.shape, 2)
        strength = (rises / strong).clamp(max=2)[..., None]
        return torch.cat([decibels * (2 / RANGE) + 1, strength, phases, torch.ones_like(strength)], -1)

    def log_mel(self, waves: Tensor) -> Tensor:
        """Power in dB [..., T, BANDS] in mel bands of waveforms [..., S], mirrored at both ends."""
        samples = waves.shape[-1]
        padded = F.pad(waves.reshape(-1, samples), (WINDOW // 2, WINDOW // 2), mode="reflect")
        centres = torch.arange(frames(samples), device=waves.device).double().mul(RATE / FPS).round().long()
        windows = padded[:, centres[:, None] + torch.arange(WINDOW, device=waves.device)] * self.window
        power = torch.fft.rfft(windows).abs().square() @ self.filters.T
        return 10 * power.clamp(min=FLOOR).log10().view(*waves.shape[:-1], -1, BANDS)


def frames(samples: int) -> int:
    """How many frames of dance a waveform lasts."""
    return round(samples * FPS / RATE)


def relative(decibels: Tensor) -> Tensor:
    """Power [..., T, BANDS] in dB below its loudest band, in [-RANGE, 0]; all -RANGE in silence."""
    loudest = decibels.amax((-2, -1), keepdim=True).clamp(min=10 * float(np.log10(QUIET)))
    return (decibels - loudest).clamp(min=-RANGE)


def loudness(decibels: Tensor) -> Tensor:
    """Loudness of power in dB: 1 at 0 dB. Unlike dB it does not count rises of what is too faint to be heard."""
    return 10 ** (decibels * (LOUDNESS / 10))


def onset(spectrum: Tensor) -> Tensor:
    """Onset strength [..., T] of a spectrum [..., T, BANDS]: half-wave rectified spectral flux, the mean over bands
    (Boeck & Widmer 2013 without their maximum filter, librosa's `onset_strength`)."""
    return F.pad(spectrum.diff(dim=-2).clamp(min=0).mean(-1), (1, 0))


def pulse(strength: NDArray[np.float64]) -> Beats:
    """Beats in seconds of an onset strength [T]: at its tempo or one that it is easily mistaken for, whichever's beats
    meet more of it than chance would."""
    guess = tempo(strength, FPS, prior=PRIOR)
    tempi = [guess * ratio for ratio in RATIOS if BPM[0] <= guess * ratio <= BPM[1]]
    return max((track(strength, FPS, prior=Prior(bpm, 0.02)) for bpm in tempi), key=lambda b: _evidence(strength, b))


def _evidence(strength: NDArray[np.float64], beats: Beats) -> float:
    """Standard deviations by which the sum of the strength at the beats exceeds what as many frames drawn at random
    would have, weighted by the prior of their tempo."""
    if len(beats) < 2:
        return 0.0
    z = gaussian_filter1d((strength - strength.mean()) / strength.std(), 1.0)
    excess = np.interp(beats * FPS, np.arange(len(z)), z).sum() / np.sqrt(len(beats))
    bpm = 60 / np.median(np.diff(beats))
    return float(max(0, excess) * np.exp(-0.5 * (np.log(bpm / PRIOR.bpm) / PRIOR.width) ** 2))


def phase(beats: Beats, length: int) -> NDArray[np.float32]:
    """Sine and cosine [T, 2] of the beat's phase at frames 0 … T - 1; before the first and after the last beat it goes
    on at the median tempo. Zeros where there are fewer than two beats."""
    if len(beats) < 2:
        return np.zeros((length, 2), np.float32)
    seconds, counts = np.arange(length) / FPS, np.arange(len(beats))
    interval = np.median(np.diff(beats))
    beat = np.interp(seconds, beats, counts)
    beat += np.minimum(seconds - beats[0], 0) / interval + np.maximum(seconds - beats[-1], 0) / interval
    return np.stack([np.sin(2 * np.pi * beat), np.cos(2 * np.pi * beat)], -1).astype(np.float32)


def beats(wave: Waveform) -> Beats:
    """Beats of a waveform [S], in seconds."""
    return pulse(onset(loudness(relative(MusicFeatures().log_mel(torch.from_numpy(wave))))).double().numpy())


def mel_filters() -> NDArray[np.float32]:
    """Weights [BANDS, WINDOW / 2 + 1] of triangular filters, evenly spaced on Slaney's mel scale, each of unit area
    over Hz (Slaney 1998, Auditory Toolbox)."""
    corners = _hertz(np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2))[:, None]
    bins = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    ramps = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return (np.maximum(ramps, 0) * 2 / (right - left)).astype(np.float32)


def _mel(hertz: float) -> float:
    """Slaney's mel of a frequency: linear up to 1 kHz (15 mel), then 27 to a factor of 6.4."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies of Slaney's mels."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
