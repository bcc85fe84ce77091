"""What sketches do to a published network: T2I-Adapters (Mou et al. 2023) and ControlNets (Zhang et al. 2023), any
number of them, each with a scale; their effects add up.

A T2I-Adapter looks at the sketch once; a ControlNet looks at x_t too, at every step. Rows that may not see their
sketch get zeros in place of what it says, which is what the network was trained without.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import diffusers
import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.models.files import Files
from pipeline.models.fusion import Keep

Residuals = list[Tensor]


@dataclasses.dataclass(frozen=True)
class Adapters:
    """All adapters of a checkpoint, loaded."""

    t2i: Sequence[tuple[Any, float]]
    control: Sequence[tuple[Any, float]]

    @classmethod
    def load(cls, files: Files, load: Callable[[Any, Any], Any], device: str, dtype: torch.dtype) -> Self:
        """Each folder's config says what it is."""
        parts = [(load(folder, diffusers.AutoModel), scale) for folder, scale in files.adapters]
        ready = [(part.to(device, dtype).eval().requires_grad_(False), scale) for part, scale in parts]
        t2i = [pair for pair in ready if isinstance(pair[0], diffusers.T2IAdapter)]
        return cls(t2i, [pair for pair in ready if not isinstance(pair[0], diffusers.T2IAdapter)])

    def prepare(self, sketch: Condition, hint: Callable[[Tensor, Any], Tensor]) -> Condition:
        """The sketches, maps [B, 1, S, S] of bytes with dark lines, as maps: what each ControlNet takes, then the
        T2I-Adapters' features, one for each level."""
        dtype = sketch.tokens.dtype
        lines = 1 - sketch.maps[0].to(dtype) / 255  # adapters are trained on light lines
        features: Residuals = []
        for adapter, scale in self.t2i:
            own = adapter(lines.expand(-1, int(adapter.config.in_channels), -1, -1))
            scaled = [scale * level for level in own]
            features = [a + b for a, b in zip(features, scaled, strict=True)] if features else scaled
        hints = [hint(lines.expand(-1, 3, -1, -1), network).to(dtype) for network, _ in self.control]
        return dataclasses.replace(sketch, maps=(*hints, *features))

    def features(self, conditions: Conditions, keep: Keep) -> Residuals | None:
        """What the T2I-Adapters say at each level [B, C, h, w]; None: there are none."""
        if not self.t2i or "sketch" not in conditions:
            return None
        return [seen(conditions, keep, level) for level in conditions["sketch"].maps[len(self.control) :]]

    def controls(
        self, conditions: Conditions, keep: Keep, ask: Callable[[Any, Tensor, float], Sequence[Residuals]]
    ) -> Sequence[Residuals | None]:
        """Sums over the ControlNets of what `ask(network, hint, scale)` gives, each a list of residuals."""
        if not self.control or "sketch" not in conditions:
            return (None, None)
        hints = conditions["sketch"].maps
        each = [ask(network, hint, scale) for (network, scale), hint in zip(self.control, hints, strict=False)]
        return [
            [seen(conditions, keep, torch.stack(level).sum(0)) for level in zip(*group, strict=True)]
            for group in zip(*each, strict=True)
        ]


def seen(conditions: Conditions, keep: Keep, residual: Tensor) -> Tensor:
    """A residual [B, …], zero in rows that may not see their sketch."""
    rows = conditions["sketch"].present & keep["sketch"]
    return residual * rows.view(-1, *[1] * (residual.dim() - 1))
