"""Guidance whose weights follow the evidence: at every step and in every row all conditions pull equally hard.

Composed guidance adds  l_i (eps_i - eps_0)  for each condition i. How long these pulls are differs between conditions,
rows and steps: a sketch says much when its lines are placed, little when they are coloured. Here each is scaled to the
length that all of them have on average, by their weights, so that the weights alone say who leads:

    l_i' = l_i * min(max(n / n_i, 1/LIMIT), LIMIT),   n_i = |eps_i - eps_0|,   n = sum_i |l_i| n_i / sum_i |l_i|
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.diffusion.schemes import Subset

NOTHING = 1e-3  # of the longest pull: what is shorter is rounding, of a condition that the row lacks
LIMIT = 4.0  # by which a pull is stretched or shortened, at most: one that is almost nothing is almost noise


def balance(sigma: float, eps: Tensor, w: Tensor, subsets: Sequence[Subset]) -> Tensor:  # noqa: ARG001
    """See guidance.Reweigh. The branches are {} and one for each condition; a condition that a row lacks pulls 0."""
    none = subsets.index(frozenset())
    own = [k for k in range(len(subsets)) if k != none]
    lengths = (eps[own] - eps[none]).flatten(2).norm(dim=2)  # [M, B]
    there = lengths > NOTHING * lengths.amax(0)
    weights = w[own].abs() * there
    mean = (weights * lengths).sum(0) / weights.sum(0).clamp(min=torch.finfo(w.dtype).tiny)
    factors = (mean / lengths.clamp(min=torch.finfo(w.dtype).tiny)).clamp(1 / LIMIT, LIMIT)
    found = w.clone()
    found[own] = w[own] * torch.where(there, factors, torch.ones_like(factors))
    found[none] = 1 - found[own].sum(0)
    return found
