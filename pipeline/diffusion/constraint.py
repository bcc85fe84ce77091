"""What a result has to keep: a function of the estimate of x_0, applied at every step of the one sampling loop.

Editing is such a function: given frames, joints or pixels are put back into each estimate, so that the rest is drawn to
fit them, and the last step ends on exactly what was given.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.diffusion.schedulers import FLOW

Constraint = Callable[[Tensor], Tensor]  # estimate of x_0 [B, ...] -> one that keeps what has to be kept


def keeping(known: Tensor, mask: Tensor) -> Constraint:
    """x_0 with `known` [B, ...] in place where `mask` [B, ...] is true."""
    return lambda x_0: torch.where(mask, known.to(x_0), x_0)


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
