"""Words as they are, for backends that read them themselves (diffusion/families/whole.py)."""

from collections.abc import Sequence
from typing import Self

import torch

from pipeline.conditions import Condition, EncoderContext

LENGTH = 4096  # bytes of UTF-8; what is longer is cut


class Words:
    """Text -> Condition whose tokens [B, LENGTH, 1] are its bytes; `read` makes text of them again."""

    @classmethod
    def load(cls, context: EncoderContext) -> Self:  # noqa: ARG003
        """It needs no weights."""
        return cls()

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B texts."""
        tokens = torch.zeros(len(values), LENGTH, 1, dtype=torch.uint8)
        for row, value in enumerate(values):
            data = (value or "").encode()[:LENGTH]
            tokens[row, : len(data), 0] = torch.tensor(list(data), dtype=torch.uint8)
        present = torch.tensor([value is not None for value in values])
        return Condition(tokens, tokens[..., 0] > 0, torch.zeros(len(values), 1), (), present)


def read(condition: Condition) -> list[str]:
    """The texts of a condition; "" where one is missing."""
    rows = condition.tokens[..., 0].cpu().tolist()
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]
