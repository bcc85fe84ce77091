"""Pictures: square uint8 arrays [S, S, 3] in RGB, stored as lossless WebP that Hugging Face shows as an image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import media
from pipeline.media import Bounds, Pixels
from pipeline.results import reference
from pipeline.schema import HF_IMAGE
from pipeline.settings import Task

if TYPE_CHECKING:
    from torch import Tensor

PICTURES = ("image", "sketch", "mask")


class ImageResult:
    """See results/__init__.py: Result."""

    kind = "image"
    fields = (pa.field("image", HF_IMAGE),)

    def __init__(self, task: Task) -> None:
        self.descriptors: Mapping[str, Any] = {}
        self.reference = reference(task, self.kind)

    def size(self, inputs: Mapping[str, Any]) -> int | None:  # noqa: ARG002
        """The network alone decides it."""
        return None

    def fitted(self, kind: str, given: Any, size: int) -> Any:
        """Pictures in a white square of `size` pixels; all else as it is."""
        return media.fit(given, size) if kind in PICTURES else given

    def array(self, drawn: "Tensor") -> NDArray[np.uint8]:
        """Pixels [B, S, S, 3] of pictures [B, 3, S, S] in [0, 1]."""
        pixels: NDArray[np.uint8] = (drawn * 255).round().nan_to_num().byte().permute(0, 2, 3, 1).cpu().numpy()
        return pixels

    def value(self, row: Pixels, size: int | None) -> Pixels:  # noqa: ARG002
        """The picture as it is."""
        return row

    def preview(self, value: Pixels, inputs: Mapping[str, Any]) -> Pixels:  # noqa: ARG002
        """The picture itself."""
        return value

    def moving(self, value: Pixels, inputs: Mapping[str, Any]) -> None:
        """It stands still."""

    def columns(self, value: Pixels, xmp: bytes = b"") -> dict[str, Any]:
        """One column, as `datasets` reads it."""
        return {"image": {"bytes": media.encode_webp(value, xmp), "path": None}}

    def stored(self, row: Mapping[str, Any]) -> Pixels | None:
        """RGB pixels."""
        data = media.field_bytes(row["image"])
        return media.decode_image(data, Bounds()) if data else None
