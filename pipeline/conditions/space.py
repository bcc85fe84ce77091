"""A space that music, text and motion share (a CLIP for dances): three small towers trained by stage=align_dance.

Used two ways, like a CLIP: one conditions the generator (its word vectors), another one judges results.
"""

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.motion import representation


class SequenceTower(nn.Module):
    """Frames [B, T, C] of any length T -> [B, E]: strided convolutions, a recurrent layer, the mean over time."""

    def __init__(self, channels: int, dim: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, dim, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(dim, dim, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(dim, dim, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.over_time = nn.GRU(dim, dim // 2, bidirectional=True, batch_first=True)
        self.leave = nn.Linear(dim, embed_dim)

    def forward(self, frames: Tensor) -> Tensor:
        """Unit vectors [B, E]."""
        seen, _ = self.over_time(self.layers(frames.transpose(1, 2)).transpose(1, 2))
        return F.normalize(self.leave(seen.mean(1)), dim=-1)


class WordTower(nn.Module):
    """Token ids [B, L], 0 where there is none -> [B, E]: a bag of words, weighed by attention."""

    def __init__(self, vocabulary: int, dim: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim)
        self.weight = nn.Linear(dim, 1)
        self.leave = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, embed_dim))

    def forward(self, ids: Tensor) -> Tensor:
        """Unit vectors [B, E]."""
        vectors = self.words(ids)  # [B, L, D]
        weight = self.weight(vectors)[..., 0].masked_fill(ids == 0, -torch.inf).softmax(-1)
        return F.normalize(self.leave((weight[..., None] * vectors).sum(1)), dim=-1)


class DanceSpace(ModelMixin, ConfigMixin):
    """The three towers. Motion is seen as features (motion/representation.py), music as features (music.py).

    Args:
        channels: of the music's features.
        vocabulary: number of tokens of the tokenizer beside the weights.
        context_length: tokens of a text at most.
        dim: width of the towers.
        embed_dim: width E of the shared space.
        dropout: in training.

    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int,
        vocabulary: int,
        context_length: int = 32,  # noqa: ARG002 - kept in the config
        dim: int = 96,
        embed_dim: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.music = SequenceTower(channels, dim, embed_dim, dropout)
        self.motion = SequenceTower(representation.WIDTH, dim, embed_dim, dropout)
        self.text = WordTower(vocabulary, dim, embed_dim, dropout)
        self.scale = nn.Parameter(torch.full((2,), math.log(1 / 0.07)))  # of music-motion and text-motion
        self.register_buffer("mean", torch.zeros(representation.WIDTH))
        self.register_buffer("std", torch.ones(representation.WIDTH))

    def embed_motion(self, poses: Tensor) -> Tensor:
        """Unit vectors [B, E] of joint positions [B, T, 22, 3] in metres."""
        return self.motion((representation.encode(poses) - self.mean) / self.std)

    def forward(self, music: Tensor, features: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [B, E] of music features [B, T, C], motion features [B, T, WIDTH] and token ids [B, L]."""
        return self.music(music), self.motion((features - self.mean) / self.std), self.text(ids)
