"""CLIP (Radford et al. 2021) by open_clip, from a folder or any open_clip name: text and pictures in one space.

The only importer of open_clip. `Clip` is used three ways: to condition (TextEncoder), to judge (ClipJudge), and to be
trained (train/alignment.py).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.language import LanguageEncoder
from pipeline.media import Pixels, as_rgb, fit
from pipeline.settings import SettingsError


class Clip:
    """A frozen CLIP with its tokenizer and its picture normalisation. All embeddings have unit length."""

    def __init__(self, network: nn.Module, tokenizer: Any, device: str = "cpu") -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.device = device
        self.image_size = int(np.max(network.visual.image_size))  # type: ignore[union-attr, arg-type]
        mean, std = network.visual.image_mean, network.visual.image_std  # type: ignore[union-attr]
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, name: str, device: str = "cpu") -> "Clip":
        """From a folder (open_clip_config.json and safetensors) or a name that open_clip knows."""
        source = f"local-dir:{Path(name).resolve()}" if Path(name).is_dir() else name
        network = open_clip.create_model(source, load_weights=True, weights_only=True)
        return cls(network, open_clip.get_tokenizer(source), device)

    @property
    def widths(self) -> dict[str, int]:
        """Sizes of its evidence: "tokens" D of the text's hidden states, "pooled" E of an embedding."""
        tower = getattr(self.network, "text", self.network)
        return {"tokens": int(tower.token_embedding.embedding_dim), "pooled": int(tower.text_projection.shape[-1])}  # type: ignore[union-attr, arg-type, index]

    @torch.no_grad()
    def embed_images(self, pictures: Tensor) -> Tensor:
        """Embeddings [B, E] of RGB pictures [B, 3, H, W] in [0, 1], of any size."""
        return F.normalize(self.network.encode_image(self.normalise(pictures)), dim=-1)  # type: ignore[operator]

    def normalise(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1] as the vision tower takes them [B, 3, S, S]."""
        size = (self.image_size, self.image_size)
        pictures = pictures.to(self.device)
        if pictures.shape[-2:] != size:
            pictures = F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False)
        return (pictures.clamp(0, 1) - self.mean) / self.std

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Of B texts: hidden states [B, L, D] after the final norm, mask [B, L] of real tokens, embeddings [B, E]."""
        ids = self.tokenizer(list(texts)).to(self.device)
        out = self.network.forward_intermediates(  # type: ignore[operator]
            text=ids, text_indices=1, normalize_intermediates=True, normalize=True
        )
        return out["text_intermediates"][-1], _real_tokens(self.network, ids), out["text_features"]

    @torch.no_grad()
    def embed_words(self, texts: Sequence[str]) -> Tensor:
        """Of B texts: the vectors [B, L, D] of their tokens as the text tower takes them in, without position."""
        ids = self.tokenizer(list(texts)).to(self.device)
        vectors: Tensor = getattr(self.network, "text", self.network).token_embedding(ids)  # type: ignore[operator]
        return vectors


def _real_tokens(network: nn.Module, ids: Tensor) -> Tensor:
    """Mask [B, L] of tokens that are not padding after the end of the text."""
    pad = getattr(getattr(network, "text", network), "pad_id", 0)
    last = (ids != pad).int().flip(1).cumsum(1).flip(1)  # counts real tokens from here on
    return last > 0


def to_unit(pixels: Sequence[Pixels]) -> Tensor:
    """RGB arrays [H, W, 3] of one size as a batch [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


class TextEncoder:
    """Text -> tokens out of a CLIP text tower, and its embedding.

    `tokens` says which: "hidden" for the states of its last layer, "words" for the word vectors that its first layer
    takes in. A small CLIP knows its training texts by heart, the more so the deeper one looks: word vectors say less
    of them and carry further (docs/training.md has the figures).
    """

    def __init__(self, clip: Clip, tokens: str = "hidden") -> None:
        if tokens not in ("hidden", "words"):
            raise SettingsError(f"text_tokens must be hidden or words, not {tokens!r}")
        self.clip, self.tokens = clip, tokens

    @classmethod
    def load(cls, context: EncoderContext) -> "Self | LanguageEncoder":
        """With the CLIP in <model>/clip, and the kind of tokens that <model>/model_index.json asks for; where that is
        "language", a text encoder of another kind."""
        index = json.loads((Path(context.folder) / "model_index.json").read_text("utf-8"))
        tokens = index.get("text_tokens", "hidden")
        return LanguageEncoder.load(context) if tokens == "language" else cls(shared_clip(context), tokens)

    @property
    def widths(self) -> dict[str, int]:
        """Sizes of its evidence, as `Clip.widths`."""
        return self.clip.widths

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B texts; a missing text is encoded as the empty one and marked absent."""
        texts = [v or "" for v in values]
        tokens, mask, pooled = self.clip.embed_texts(texts)
        if self.tokens == "words":
            tokens = self.clip.embed_words(texts)
        return Condition(tokens, mask, pooled, (), torch.tensor([v is not None for v in values]))


def shared_clip(context: EncoderContext) -> Clip:
    """The conditioning CLIP of a model folder, loaded once for all encoders of the process."""
    clip: Clip = context.share("clip", lambda: Clip.load(f"{context.folder}/clip", context.device))
    return clip


class ClipJudge:
    """Texts, pictures and sketches in the space of a CLIP."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    @classmethod
    def load(cls, folder: str, device: str) -> Self:
        """Of an open_clip folder."""
        return cls(Clip.load(folder, device))

    def embed(self, kind: str, values: Sequence[Any | None]) -> Tensor:
        """Unit vectors [B, E] of texts, or of pixels [H, W, 3] or [H, W] of any size; of padding where one is None."""
        if kind == "text":
            return self.clip.embed_texts([v or "" for v in values])[2]
        side = self.clip.image_size
        white = np.full((side, side, 3), 255, np.uint8)
        return self.clip.embed_images(to_unit([white if v is None else as_rgb(fit(v, side)) for v in values]))


def save(network: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write an open_clip folder: open_clip_config.json and open_clip_model.safetensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "open_clip_model.safetensors")
