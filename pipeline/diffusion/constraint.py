"""What a result has to keep: a function of the estimate of x_0, applied at every step of the one sampling loop.

Editing is such a function: given frames, joints or pixels are put back into each estimate, so that the rest is drawn to
fit them, and the last step ends on exactly what was given.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.diffusion.schedulers import FLOW

FAR = 1_000_000  # frames; no dance is as long
Constraint = Callable[[Tensor], Tensor]  # estimate of x_0 [B, ...] -> one that keeps what has to be kept


def keeping(known: Tensor, mask: Tensor) -> Constraint:
    """x_0 with `known` [B, ...] in place where `mask` [B, ...] is true."""
    return lambda x_0: torch.where(mask, known.to(x_0), x_0)


def keeping_frames(known: Tensor, mask: Tensor, fade: int) -> Constraint:
    """As `keeping`, of [B, T, C]; what it corrects is carried into the free frames beside, fading over `fade` frames,
    or the estimate would jump where what is given ends."""
    if not fade:
        return keeping(known, mask)
    before, after = _nearest(mask), _nearest(mask.flip(1)).flip(1)  # frames back to, and on to, one that is given
    index = torch.arange(mask.shape[1], device=mask.device).view(1, -1, 1)
    sides = [((index - before).clamp(min=0), before), ((index + after).clamp(max=mask.shape[1] - 1), after)]
    near = [(1 - distance / (fade + 1)).clamp(min=0) for _, distance in sides]
    # Between two given parts that are close, each side has the less say the nearer the other is.
    shares = [near[0] * after / (before + after).clamp(min=1), near[1] * before / (before + after).clamp(min=1)]

    def constrain(x_0: Tensor) -> Tensor:
        correction = torch.where(mask, known.to(x_0) - x_0, 0)
        carried = sum(
            w.to(x_0) * correction.gather(1, place.long()) for w, (place, _) in zip(shares, sides, strict=True)
        )
        return torch.where(mask, known.to(x_0), x_0 + carried)

    return constrain


def _nearest(mask: Tensor) -> Tensor:
    """Frames [B, T, C] back to the last one that `mask` has; a great many where there is none."""
    index = torch.arange(mask.shape[1], device=mask.device).view(1, -1, 1).expand(mask.shape)
    last = torch.where(mask, index, -FAR).cummax(1).values
    return index - last


def constrained(constrain: Constraint, prediction: Tensor, x: Tensor, sigma: float, kind: str) -> Tensor:
    """The prediction of `kind` (a scheduler's `prediction_type`) whose x_0 is constrained.

    With a = 1 / sqrt(1 + sigma^2) and s = sigma a, x = a x_0 + s eps is what the network was shown; of a flow, x =
    (1 - s) x_0 + s eps with s = sigma / (1 + sigma).
    """
    if kind == FLOW:
        s = sigma / (1 + sigma) if math.isfinite(sigma) else 1.0
        return (x - constrain(x - s * prediction)) / s
    a = (1 + sigma**2) ** -0.5
    s = sigma * a
    if kind == "sample":
        return constrain(prediction)
    if kind == "epsilon":
        return (x - a * constrain((x - s * prediction) / a)) / s
    if kind == "v_prediction":
        return (a * x - constrain(a * x - s * prediction)) / s
    raise ValueError(f"unknown prediction_type {kind!r}")
