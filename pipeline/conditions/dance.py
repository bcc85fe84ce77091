"""Text as evidence for a dance, and the judge of dances: both out of a space that music, text and motion share
(conditions/space.py), from a folder with its weights and its tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.space import DanceSpace
from pipeline.music import MusicFeatures
from pipeline.settings import SettingsError


class Space:
    """A frozen space with its tokenizer."""

    def __init__(self, network: DanceSpace, tokenizer: Any, device: str = "cpu") -> None:
        self.network: DanceSpace = network.to(device).float().eval().requires_grad_(False)
        self.tokenizer, self.device = tokenizer, device
        self.dim = int(network.config.embed_dim)
        self.hear = MusicFeatures().to(device)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Space":
        """From a folder with config.json, safetensors and tokenizer.json."""
        if not (Path(folder) / "config.json").is_file():
            raise SettingsError(f"{folder} holds no space of music, text and motion (no config.json)")
        network = DanceSpace.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        return cls(network, PreTrainedTokenizerFast.from_pretrained(folder), device)

    @property
    def widths(self) -> dict[str, int]:
        """Sizes of a text's evidence: "tokens" D of a word, "pooled" E of an embedding."""
        return {"tokens": int(self.network.config.dim), "pooled": self.dim}

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L]."""
        length = int(self.network.config.context_length)
        found = self.tokenizer(
            list(texts), return_tensors="pt", max_length=length, padding="max_length", truncation=True
        )
        return found.input_ids.to(self.device)

    @torch.no_grad()
    def embed(self, kind: str, values: Sequence[Any]) -> Tensor:
        """Unit vectors [B, E] of B texts, waveforms ("audio") or motions [T, 22, 3]; of padding where one is None.

        Each is seen by itself, as pieces differ in length.
        """
        return torch.stack([self._one(kind, v) if v is not None else torch.zeros(self.dim) for v in values])

    def _one(self, kind: str, value: Any) -> Tensor:
        if kind == "text":
            return self.network.text(self.ids([value]))[0].cpu()
        frames = torch.as_tensor(value, device=self.device)[None].float()
        if kind == "audio":
            return self.network.music(self.hear(frames))[0].cpu()
        return self.network.embed_motion(frames)[0].cpu()


class DanceJudge(Space):
    """The judge of dances (conditions.Judge)."""


class TextEncoder:
    """Text -> the vectors of its words, and its embedding in the space."""

    def __init__(self, space: Space) -> None:
        self.space = space

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """With the space in <model>/space."""
        return cls(shared_space(context))

    @torch.no_grad()
    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B texts; a missing text is encoded as the empty one and marked absent."""
        ids = self.space.ids([v or "" for v in values])
        tower = self.space.network.text
        return Condition(tower.words(ids), ids != 0, tower(ids), (), torch.tensor([v is not None for v in values]))


def shared_space(context: EncoderContext) -> Space:
    """The conditioning space of a model folder, loaded once for all encoders of the process."""
    space: Space = context.share("space", lambda: Space.load(f"{context.folder}/space", context.device))
    return space
