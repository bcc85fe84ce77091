"""Frozen models that hear music, by transformers from a local folder: the audio tower of a CLAP (Wu et al. 2023), or
any model of waveforms (wav2vec 2.0, HuBERT and what shares its architecture, as MERT's weights do).

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from pathlib import Path
from typing import Self

import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedModel
from transformers.feature_extraction_utils import FeatureExtractionMixin

from pipeline.motion.skeleton import FPS
from pipeline.music import frames
from pipeline.settings import SettingsError
from pipeline.sound import RATE


class FrozenEncoder(nn.Module):
    """Last hidden states of a model for each frame of a dance; the last channel is 1 (conditions.music.Hearing)."""

    def __init__(self, network: PreTrainedModel, extractor: FeatureExtractionMixin) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.extractor, self.rate = extractor, int(extractor.sampling_rate)
        self.channels = int(network.config.hidden_size) + 1

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """From a folder with config.json, preprocessor_config.json and safetensors."""
        if not (folder / "config.json").is_file():
            raise SettingsError(f"{folder} holds no model that hears music (no config.json)")
        local = {"local_files_only": True, "trust_remote_code": False}
        network = AutoModel.from_pretrained(folder, use_safetensors=True, **local)
        extractor = AutoFeatureExtractor.from_pretrained(folder, **local)
        return cls(getattr(network, "audio_model", network).float(), extractor).to(device)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """[S] at RATE -> [frames(S), channels]: its hidden states, interpolated linearly between their centres."""
        samples = soxr.resample(wave.cpu().numpy(), RATE, self.rate)
        window = getattr(self.extractor, "nb_max_samples", len(samples))  # CLAP sees ten seconds at once
        states = torch.cat([self._states(samples[i : i + window]) for i in range(0, len(samples), window)])
        per_second = len(states) * self.rate / (window * -(-len(samples) // window))
        count = frames(len(wave))
        place = (torch.arange(count, device=states.device) / FPS * per_second - 0.5).clamp(0, len(states) - 1)
        left, share = place.long(), place.frac()[:, None]
        right = (left + 1).clamp_max(len(states) - 1)
        return F.pad(states[left] * (1 - share) + states[right] * share, (0, 1), value=1.0)

    def _states(self, samples: object) -> Tensor:
        """Hidden states [L, D] of one window, evenly spaced over it."""
        inputs = self.extractor(samples, sampling_rate=self.rate, return_tensors="pt")
        device = next(self.network.parameters()).device
        states: Tensor = self.network(**{k: v.to(device) for k, v in inputs.items()}).last_hidden_state[0]
        return states.mean(1).T if states.dim() == 3 else states  # CLAP: [D, frequencies, L]
