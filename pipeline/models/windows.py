"""Overlapping windows over a long sequence, and one sequence out of what was seen through them."""

from collections.abc import Sequence

import torch
from torch import Tensor

OVERLAP = 1 / 3  # of a window


def starts(length: int, size: int) -> list[int]:
    """First frames of windows of `size` over `length` frames, as evenly spaced as they go, at least OVERLAP shared."""
    if length <= size:
        return [0]
    count = 1 + -(-(length - size) // int(size * (1 - OVERLAP)))
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def cut(x: Tensor, places: Sequence[int], size: int) -> Tensor:
    """Windows [B * n, size, ...] of sequences [B, T, ...]; those of one sequence stand together."""
    return torch.stack([x[:, p : p + size] for p in places], 1).flatten(0, 1)


def blend(windows: Tensor, places: Sequence[int], length: int) -> Tensor:
    """Sequences [B, length, ...] out of windows [B * n, size, ...]: a mean of all windows that see a frame, in which
    each weighs the more, the further the frame lies from its ends."""
    size = windows.shape[1]
    each = windows.unflatten(0, (-1, len(places)))  # [B, n, size, ...]
    ramp = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)).to(windows)
    weight = ramp.view(-1, *[1] * (windows.dim() - 2))
    total = torch.zeros(len(each), length, *windows.shape[2:], dtype=windows.dtype, device=windows.device)
    norm = torch.zeros(length, *weight.shape[1:], dtype=windows.dtype, device=windows.device)
    for n, place in enumerate(places):
        total[:, place : place + size] += each[:, n] * weight
        norm[place : place + size] += weight
    return total / norm
