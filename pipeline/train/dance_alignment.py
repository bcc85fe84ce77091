"""stage=align_dance: a space that music, text and motion share (conditions/space.py).

Symmetric InfoNCE (Radford et al. 2021) between music and motion and between text and motion. Rows of a batch with
the same song, or the same caption, are positives of each other.

Options: `frames` of a window, `dim`, `embed_dim` and `dropout` of the towers, `vocabulary` and `context_length` of
the tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from pipeline.conditions.space import DanceSpace
from pipeline.music import CHANNELS
from pipeline.train import contrast, dances, parallel
from pipeline.train.contrast import contrastive
from pipeline.train.data import Batch, whole
from pipeline.train.settings import Train
from pipeline.train.tokenizer import learn

NOISE = 0.1  # on the music's features, so that no recording is known by heart


class DanceAlignment:
    """Stage (train/stage.py)."""

    reader = staticmethod(dances.reader)

    def __init__(self, network: DanceSpace, tokenizer: PreTrainedTokenizerFast, frames: int, device: str) -> None:
        self.network: nn.Module = network
        self.tokenizer, self.frames, self.device = tokenizer, frames, device

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """Learns the tokenizer and the features' mean and spread from the training rows, then builds the towers."""
        options = settings.stage.options
        captions = whole(settings.input, settings.train_where, ("texts",))["texts"].to_pylist()
        said = [caption for row in captions for caption in row or []]
        tokenizer = learn(said, options["vocabulary"], options["context_length"])
        widths = {name: options[name] for name in ("context_length", "dim", "embed_dim", "dropout")}
        network = DanceSpace(CHANNELS, len(tokenizer), **widths)
        known = dances.moments(settings)
        network.mean.copy_(known.mean)
        network.std.copy_(known.std)
        return cls(network, tokenizer, options["frames"], device)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L]."""
        length = self.tokenizer.model_max_length
        found = self.tokenizer(
            list(texts), return_tensors="pt", max_length=length, padding="max_length", truncation=True
        )
        return found.input_ids.to(self.device)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean of the music-motion and the text-motion loss."""
        rows = dances.arranged(batch, self.frames, generator)
        music = rows.music + NOISE * torch.randn(rows.music.shape, generator=generator)
        heard, danced, said = network(music.to(self.device), rows.features.to(self.device), self.ids(rows.texts))
        heard, danced, said = (parallel.gathered(v.float()) for v in (heard, danced, said))
        songs = parallel.gathered(rows.songs.to(self.device))
        captions = parallel.gathered(self.ids(rows.texts))
        same_song = (songs[:, None] == songs).float()
        same_caption = (captions[:, None] == captions).all(2).float()
        scale = unwrapped(network).scale.exp().clamp(max=100)
        by_music = contrastive(scale[0] * heard @ danced.T, same_song)
        return (by_music + contrastive(scale[1] * said @ danced.T, same_caption)) / 2

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Recall at 1 among the rows of the batch, and how near pairs are."""
        rows = dances.arranged(batch, self.frames, None)
        heard, danced, said = network(rows.music.to(self.device), rows.features.to(self.device), self.ids(rows.texts))
        return {
            "music_to_motion_r1": contrast.recall((heard @ danced.T).cpu().numpy(), 1),
            "text_to_motion_r1": contrast.recall((said @ danced.T).cpu().numpy(), 1),
            "cosine_music": float((heard * danced).sum(-1).mean()),
            "cosine_text": float((said * danced).sum(-1).mean()),
        }

    def save(self, network: nn.Module, folder: Path) -> None:
        """A diffusers folder with its tokenizer."""
        network.save_pretrained(folder)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)


def unwrapped(network: nn.Module) -> Any:
    """The network inside its wrapper for data parallelism."""
    return getattr(network, "module", network)
