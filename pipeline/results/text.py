"""Texts: strings, drawn as the bytes of their UTF-8 with zeros behind them (conditions/raw.py)."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.media import Pixels
from pipeline.results import reference
from pipeline.settings import Task

if TYPE_CHECKING:
    from torch import Tensor

SIDE, LETTERS = 256, 28  # pixels along a side of a picture of a text, and of its letters
COLUMNS, LINES = 15, 7  # of letters that have room there


class TextResult:
    """See results/__init__.py: Result. A value is a str."""

    kind = "text"
    fields = (pa.field("caption", pa.string()),)

    def __init__(self, task: Task) -> None:
        self.descriptors: Mapping[str, Any] = {}
        self.reference = reference(task, self.kind)

    def size(self, inputs: Mapping[str, Any]) -> int | None:  # noqa: ARG002
        """The network alone decides it."""
        return None

    def fitted(self, kind: str, given: Any, size: int) -> Any:  # noqa: ARG002
        """As it is."""
        return given

    def array(self, drawn: "Tensor") -> NDArray[np.uint8]:
        """Bytes [B, L]."""
        data: NDArray[np.uint8] = drawn.cpu().numpy()
        return data

    def value(self, row: NDArray[np.uint8], size: int | None) -> str:  # noqa: ARG002
        """The text, without a last letter that is not whole."""
        return row.tobytes().rstrip(b"\0").decode(errors="ignore")

    def preview(self, value: str, inputs: Mapping[str, Any]) -> Pixels:  # noqa: ARG002
        """The text on a white square, for places that take pictures alone."""
        return written(value)

    def moving(self, value: str, inputs: Mapping[str, Any]) -> None:
        """It stands still."""

    def columns(self, value: str, xmp: bytes = b"") -> dict[str, Any]:  # noqa: ARG002
        """One column."""
        return {"caption": value}

    def stored(self, row: Mapping[str, Any]) -> str | None:
        """The text."""
        text: str | None = row["caption"]
        return text


def written(text: str) -> Pixels:
    """A text as a picture [SIDE, SIDE, 3], black on white; what has no room ends in an ellipsis."""
    lines = textwrap.wrap(text, COLUMNS, max_lines=LINES, placeholder="…")
    made = Image.new("RGB", (SIDE, SIDE), "white")
    middle = (SIDE / 2, SIDE / 2)
    font = ImageFont.load_default(LETTERS)
    ImageDraw.Draw(made).multiline_text(middle, "\n".join(lines), "black", font, anchor="mm", align="center")
    return np.asarray(made)
