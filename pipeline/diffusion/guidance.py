"""Guidance as a weighted set of branches (schemes.py says which): one forward, one weighted sum.

The combination is linear, so it holds for eps-, v- and x0-prediction alike. Weights are per row. Outside the
guidance interval (Kynkaanniemi et al. 2024; in sigma, never in step index) only {all}: 1 runs.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.diffusion.schemes import Subset, Weights, scheme
from pipeline.settings import resolve


class Reweigh(Protocol):
    """A dynamic scheme's rule: the weights of a step from what the branches predicted."""

    def __call__(self, sigma: float, eps: Tensor, w: Tensor, subsets: Sequence[Subset]) -> Tensor:
        """Weights [K, B] from sigma, predictions eps [K, B, ...] and the table's weights w [K, B] of K branches."""


@dataclasses.dataclass(frozen=True)
class Branches:
    """K branches of a batch of B rows."""

    subsets: tuple[Subset, ...]
    weights: Tensor  # [K, B], each column sums to 1
    reweigh: Reweigh | None = None  # None: the weights of the table

    def combine(self, sigma: float, eps: Tensor) -> Tensor:
        """Guided prediction [B, ...] of branch predictions eps [K, B, ...]."""
        w = self.weights.to(eps)
        if self.reweigh is not None:
            w = self.reweigh(sigma, eps, w, self.subsets)
        return torch.einsum("kb,kb...->b...", w, eps)


def branches(name: str, modalities: Sequence[str], needed: Sequence[Subset], rows: Sequence[Weights]) -> Branches:
    """The needed branches of a batch, with the weights of its rows."""
    chosen = scheme(name)
    tables = [chosen.table(modalities, weights) for weights in rows]
    reweigh: Reweigh | None = resolve(chosen.reweigh) if chosen.reweigh else None
    return Branches(tuple(needed), torch.tensor([[t[s] for t in tables] for s in needed]), reweigh)


def everything(modalities: Sequence[str], rows: int) -> Branches:
    """{all}: 1 for every row: what runs outside the guidance interval."""
    return Branches((frozenset(modalities),), torch.ones(1, rows))
