"""What fusion.py joins modalities by, beside putting their tokens one after the other."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Condition, Conditions


class Mix(nn.Module):
    """Tokens of all modalities attend to each other: one layer of self-attention, the identity at first."""

    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.enter, self.leave = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, L, D], of which those in the mask [B, L] are seen."""
        q, k, v = self.enter(self.norm(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])  # [B, heads, L, D / heads]
        return tokens + self.leave(seen.transpose(1, 2).flatten(2))


class Pack(nn.Module):
    """Pooled vectors of all modalities, concatenated along the feature axis, as one token."""

    def __init__(self, pooled: Mapping[str, int], dim: int) -> None:
        super().__init__()
        self.modalities = sorted(pooled)
        self.null = nn.ParameterDict({m: nn.Parameter(torch.zeros(width)) for m, width in pooled.items()})
        width = sum(pooled.values())
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))

    def forward(self, conditions: Conditions, keep: Mapping[str, Tensor], gates: Mapping[str, Tensor]) -> Tensor:
        """[B, 1, D]; a modality that is not seen is its learned null."""
        vectors = [
            torch.where(
                seen_in(conditions[m], keep[m])[:, None], gates[m][:, None] * conditions[m].pooled, self.null[m]
            )
            for m in self.modalities
        ]
        token: Tensor = self.project(torch.cat(vectors, 1))
        return token[:, None]


def seen_in(condition: Condition, keep: Tensor) -> Tensor:
    """[B] in which rows a modality is seen: where it is there, and may be."""
    return condition.present & keep
