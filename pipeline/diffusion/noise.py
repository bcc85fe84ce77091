"""Noise that depends on a row's seed alone (per-sample generators as in EDM2, Karras et al. 2024)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per row: CPU, so that the noise is the same on every device type."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def initial_noise(rows: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Standard normal x_T [B, *shape], float32; row b is drawn from generator b alone."""
    return torch.stack([torch.randn(*shape, generator=g) for g in rows])
