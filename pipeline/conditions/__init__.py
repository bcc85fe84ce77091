"""Conditions: finished evidence of one modality for a batch, ready before the denoising loop starts.

A new condition is one file here: a class with `load(context)` and `__call__(values) -> Condition`, named in
the task's `encoders`. Encoders are frozen and run once per unique input, never inside the loop.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Condition:
    """Evidence of one modality for B rows. Where `present` is false the other values are padding."""

    tokens: Tensor  # [B, L, D] for cross-attention
    mask: Tensor  # [B, L] bool, true where a token is real
    pooled: Tensor  # [B, E] one vector per row
    maps: tuple[Tensor, ...]  # evidence in place or time, each [B, C, H, W] or [B, C, T]
    present: Tensor  # [B] bool

    def __post_init__(self) -> None:
        rows = {len(t) for t in (self.tokens, self.mask, self.pooled, self.present, *self.maps)}
        if len(rows) != 1 or self.mask.shape != self.tokens.shape[:2]:
            raise ValueError(f"a condition's tensors disagree: tokens {self.tokens.shape}, mask {self.mask.shape}")

    def each(self, function: Callable[[Tensor], Tensor]) -> "Condition":
        """The condition with `function` applied to every tensor."""
        return Condition(
            function(self.tokens),
            function(self.mask),
            function(self.pooled),
            tuple(function(m) for m in self.maps),
            function(self.present),
        )

    def rows(self, index: Tensor) -> "Condition":
        """Rows [index] of the condition, in that order."""
        return self.each(lambda t: t[index])

    def repeat(self, times: int) -> "Condition":
        """[K * B] rows: the whole batch, `times` times over (branch k holds rows k*B … (k+1)*B - 1)."""
        return self.each(lambda t: t.repeat(times, *[1] * (t.dim() - 1)))

    def withhold(self, dropped: Tensor) -> "Condition":
        """The condition, absent where `dropped` [B] is true."""
        return dataclasses.replace(self, present=self.present & ~dropped)

    def blank(self, where: Tensor) -> "Condition":
        """The condition with zeros in place of, and absent in, the rows where `where` [B] is true."""
        rows = torch.arange(len(where))[where]
        emptied = self.each(lambda t: t.index_fill(0, rows.to(t.device), 0))
        return dataclasses.replace(emptied, mask=self.mask)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> "Condition":
        """On another device; floating tensors in another precision."""
        return self.each(lambda t: t.to(device, dtype if t.is_floating_point() else t.dtype))


Conditions = Mapping[str, Condition]


class Encoder(Protocol):
    """Turns the decoded values of one modality into a Condition."""

    @classmethod
    def load(cls, context: "EncoderContext") -> Self:
        """The encoder that belongs to a model folder."""

    def __call__(self, values: Sequence[Any | None]) -> Condition:
        """Evidence of B values, None where a row has none; the result has B rows."""


class Judge(Protocol):
    """A space in which results and inputs are compared; named in the task's `judge`. Frozen."""

    @classmethod
    def load(cls, folder: str, device: str) -> Self:
        """The judge of a folder."""

    def embed(self, kind: str, values: Sequence[Any | None]) -> Tensor:
        """Unit vectors [B, E] of B decoded values of one kind of media (kinds.py); of padding where one is None. A
        value's vector does not depend on the others."""


@dataclasses.dataclass(frozen=True)
class EncoderContext:
    """What encoders of one model share: its folder, their device, and parts that several of them use."""

    folder: str
    device: str
    shared: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the task's
    dtype: torch.dtype = torch.float32  # in which large encoders compute
    loras: tuple[tuple[Path, float], ...] = ()  # folders, scales
    trust_pickle: bool = False

    def share(self, name: str, make: Callable[[], Any]) -> Any:
        """A part made by the first encoder that asks for it, the same one for the next."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]
