"""The music-and-text-to-dance denoiser: a transformer over frames.

Music reaches it frame by frame, as the maps of its Condition (a small 1D CNN, the adapter, makes them out of the
music's features), and as one token; text as tokens, through cross-attention. Both pass the gated fusion first.
x is a dance as features [B, T, WIDTH] (motion/representation.py), each of zero mean and unit variance. What is fine
and fast stands in x_t itself when little noise is left, and need not pass through a network that is narrower than a
patch of features: x_0 = alpha x_t + filters of x_t over time + what the network adds.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Condition, Conditions
from pipeline.models.fusion import Fusion, Keep
from pipeline.models.windows import blend, cut, starts
from pipeline.motion import representation
from pipeline.motion.representation import WIDTH

FILTERS = 4  # of each feature over time
MAPS = 64  # channels of the maps: the conditions' evidence for each frame


def signal(t: Tensor) -> Tensor:
    """Alpha [B] of x_t = alpha x_0 + sigma eps at t in [0, 1000), in Nichol & Dhariwal's (2021, eq. 17) schedule."""
    return torch.cos((t.float() / 1000 + 0.008) / 1.008 * torch.pi / 2)


class MusicAdapter(ModelMixin, ConfigMixin):
    """Music's features [B, C, T] -> evidence for each frame [B, dim, T], that looks about a second either way."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, channels: int, dim: int, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.enter = nn.Conv1d(channels, dim, 5, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(dim, dim, 5, padding=2 * d, dilation=d) for d in dilations)

    def forward(self, features: Tensor) -> Tensor:
        """[B, C, T] -> [B, dim, T]."""
        x = self.enter(features)
        for layer in self.layers:
            x = x + layer(F.gelu(x))
        return x


class Block(nn.Module):
    """Self-attention over frames, cross-attention to the conditions, MLP; scaled and shifted by the timestep, through
    one layer for all blocks and a table of each block's own (adaLN-single, Chen et al. 2024, PixArt-alpha)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dim, elementwise_affine=False) for _ in range(3))
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.q, self.kv, self.crossed = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.table = nn.Parameter(torch.zeros(7, dim))

    def forward(self, x: Tensor, time: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Frames x [B, T, D], time [B, 7, D], tokens [B, L, D], mask [B, L] -> [B, T, D]."""
        a, b, c, d, e, f, g = (time + self.table)[:, :, None].unbind(1)  # each [B, 1, D]
        q, k, v = self.qkv(self.norms[0](x) * (1 + a) + b).chunk(3, -1)
        x = x + c * self.out(self._attend(q, k, v, None))
        k, v = self.kv(tokens).chunk(2, -1)
        x = x + self.crossed(self._attend(self.q(self.norms[1](x) * (1 + d)), k, v, mask[:, None, None]))
        return x + g * self.dropout(self.mlp(self.norms[2](x) * (1 + e) + f))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Refiner(nn.Module):
    """What the transformer says of each patch, and x_t itself, frame by frame: convolutions and, for each feature, some
    linear filters, all of which know the noise level. A level's best linear estimate of a signal is a filter (Wiener
    1949), so that smoothness need not be learnt by attention."""

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.enter, self.layer = nn.Conv1d(2 * WIDTH, width, 5, padding=2), nn.Conv1d(width, width, 5, padding=2)
        self.level, self.leave = nn.Linear(dim, 2 * width), nn.Conv1d(width, WIDTH, 5, padding=2)
        self.filters = nn.Conv1d(WIDTH, FILTERS * WIDTH, 13, padding=6, groups=WIDTH, bias=False)
        self.mix = nn.Linear(dim, FILTERS * WIDTH)
        for parameter in (*self.leave.parameters(), *self.mix.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, x_t: Tensor, coarse: Tensor, time: Tensor) -> Tensor:
        """x_t and coarse [B, T, WIDTH], time [B, D] -> x_0 - alpha x_t [B, T, WIDTH]."""
        x = self.enter(torch.cat([x_t, coarse], -1).transpose(1, 2))
        scale, shift = self.level(time)[:, :, None].chunk(2, 1)
        x = x + self.layer(F.gelu(x * (1 + scale) + shift))
        smooth = self.filters(x_t.transpose(1, 2)) * self.mix(time)[:, :, None]
        return (self.leave(F.gelu(x)) + smooth.unflatten(1, (WIDTH, FILTERS)).sum(2)).transpose(1, 2)


class MotionTransformer(ModelMixin, ConfigMixin):
    """x_t [B, T, WIDTH] -> x_0, for windows of at most `frames` frames.

    Args:
        frames: length of the windows it was trained on.
        patch: frames that make one token.
        dim: width of the transformer, and of the fused tokens.
        layers: blocks.
        heads: of each attention.
        dropout: of what the MLPs add, in training.

    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        frames: int = 150,  # noqa: ARG002 - kept in the config
        patch: int = 2,
        dim: int = 160,
        layers: int = 6,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.enter, self.hear = nn.Linear(patch * WIDTH, dim), nn.Linear(patch * MAPS, dim)
        self.time = nn.Sequential(
            nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, 7 * dim)
        )
        for parameter in self.time[-1].parameters():
            nn.init.zeros_(parameter)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.manner = nn.Linear(dim, dim)  # what the conditions say of the whole dance
        self.norm, self.leave, self.refine = nn.LayerNorm(dim), nn.Linear(dim, patch * WIDTH), Refiner(dim)
        # What makes a dance of features: known from the training set, kept with the weights.
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.register_buffer("lengths", torch.zeros(21))

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
        """x_0 [B, T, WIDTH]; t [B] in [0, 1000), tokens [B, L, dim], mask [B, L], maps [B, MAPS, T]."""
        dim, length = self.config.dim, x_t.shape[1]
        x = self.enter(self._patches(x_t)) + self.hear(self._patches(maps.transpose(1, 2)))  # [B, N, dim]
        place = torch.arange(x.shape[1], device=x.device) * self.config.patch
        x = x + get_timestep_embedding(place, dim).to(x.dtype)
        level = get_timestep_embedding(t, dim, flip_sin_to_cos=True, downscale_freq_shift=0).to(x_t.dtype)
        seen = mask.unsqueeze(-1).to(tokens)
        time = self.time(level + self.manner((tokens * seen).sum(1) / seen.sum(1))).unflatten(-1, (7, dim))
        for block in self.blocks:
            x = block(x, time, tokens, mask)
        coarse = self.leave(self.norm(x)).unflatten(-1, (self.config.patch, -1)).flatten(1, 2)[:, :length]
        return signal(t)[:, None, None].to(x_t) * x_t + self.refine(x_t, coarse, level)

    def _patches(self, frames: Tensor) -> Tensor:
        """[B, T, C] -> [B, N, patch * C], ended with zeros."""
        patch = self.config.patch
        whole = F.pad(frames, (0, 0, 0, -frames.shape[1] % patch))
        return whole.unflatten(1, (-1, patch)).flatten(2)

    def normalise(self, features: Tensor) -> Tensor:
        """Features [..., WIDTH] as x_0."""
        return (features - self.mean) / self.std

    def poses(self, x_0: Tensor) -> Tensor:
        """Joint positions [..., T, 22, 3] in metres of x_0 [..., T, WIDTH], as the network sees them."""
        return representation.decode(x_0 * self.std + self.mean)

    def rigid(self, x_0: Tensor) -> Tensor:
        """As `poses`, with all bones of the lengths of the training's dancer."""
        return representation.with_lengths(self.poses(x_0), self.lengths)


class MusicToDance(nn.Module):
    """Transformer, adapter and fusion as one trainable network, for dances of any length."""

    def __init__(self, transformer: MotionTransformer, adapter: MusicAdapter, fusion: Fusion) -> None:
        super().__init__()
        self.transformer, self.adapter, self.fusion = transformer, adapter, fusion

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """Conditions with the music's features [B, C, T] replaced by the adapter's, and its tokens by one of all."""
        music = conditions["music"]
        one = torch.ones_like(music.mask[:, :1])
        seen = dataclasses.replace(music, tokens=music.pooled[:, None], mask=one, maps=(self.adapter(music.maps[0]),))
        return {**conditions, "music": seen}

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """x_0 [B, T, WIDTH] at x_t [B, T, WIDTH] and timesteps t [B].

        A dance longer than the network's windows is seen through overlapping ones, whose predictions of shared
        frames are blended at every step (MultiDiffusion, Bar-Tal et al. 2023): there is one x_t, so nothing can jump.
        """
        places = starts(x_t.shape[1], self.transformer.config.frames)
        count = len(places)
        if count == 1:
            return self._window(x_t, t, conditions, keep)
        size = self.transformer.config.frames
        every = {m: _windows(c, places, size) for m, c in conditions.items()}
        kept = {m: k.repeat_interleave(count) for m, k in keep.items()}
        seen = self._window(cut(x_t, places, size), t.repeat_interleave(count), every, kept)
        return blend(seen, places, x_t.shape[1])

    def _window(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        tokens, mask, maps = self.fusion(conditions, keep, t)
        return self.transformer(x_t, t, tokens, mask, maps[0])

    def forward(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """`denoise` of conditions that have not been prepared: one training step."""
        return self.denoise(x_t, t, self.prepare(conditions), keep)


def _windows(condition: Condition, places: Sequence[int], size: int) -> Condition:
    """A condition of B dances as that of their windows: maps [B, C, T] are cut, all else is the same for each."""
    whole = dataclasses.replace(condition, maps=()).each(lambda x: x.repeat_interleave(len(places), 0))
    maps = tuple(cut(m.transpose(1, 2), places, size).transpose(1, 2) for m in condition.maps)
    return dataclasses.replace(whole, maps=maps)


def build(music: Mapping[str, int], text: Mapping[str, int], options: Mapping[str, int]) -> MusicToDance:
    """A fresh network. `music` has widths "channels" and "pooled", `text` "tokens" and "pooled"; `options` those of
    MotionTransformer."""
    transformer = MotionTransformer(**options)
    dim = int(transformer.config.dim)
    fusion = Fusion(
        tokens={"text": text["tokens"], "music": music["pooled"]},
        pooled={"text": text["pooled"], "music": music["pooled"]},
        maps={"music": [MAPS]},
        dim=dim,
    )
    return MusicToDance(transformer, MusicAdapter(music["channels"], MAPS), fusion)
