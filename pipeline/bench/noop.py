"""A task whose models do nothing: what remains of a run is the engine (planning, stages, ledger, Parquet, audit).

ARGUMENTS make it of the task sketch_to_image: no medium is decoded or encoded, pictures pass through as bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.conditions import Condition, Conditions, EncoderContext
from pipeline.diffusion.sampler import Drawn, Guide
from pipeline.media import Pixels
from pipeline.results.image import ImageResult
from pipeline.settings import Task

WIDTH, SIDE = 64, 8  # of an embedding; of a result, in pixels
ARGUMENTS = (
    "task.encoders.text=pipeline.bench.noop:Encoder",
    "task.encoders.sketch=pipeline.bench.noop:Encoder",
    "task.judge=pipeline.bench.noop:Judge",
    "task.backend=pipeline.bench.noop:Backend",
    "task.result=pipeline.bench.noop:Result",
    "input.columns={id:id,text:text,sketch:null,image:null}",
    "input.keep=[image]",
)


class Encoder:
    """Values -> evidence of one zero each."""

    @classmethod
    def load(cls, context: EncoderContext) -> Self:  # noqa: ARG003
        """It needs no weights."""
        return cls()

    def __call__(self, values: Sequence[Any]) -> Condition:
        """Evidence of B values."""
        rows, present = len(values), torch.tensor([v is not None for v in values])
        return Condition(torch.zeros(rows, 1, 1), torch.ones(rows, 1).bool(), torch.zeros(rows, 1), (), present)


class Judge:
    """A space in which everything is the same."""

    @classmethod
    def load(cls, folder: str, device: str) -> Self:  # noqa: ARG003
        """It needs no weights."""
        return cls()

    def embed(self, kind: str, values: Sequence[Any]) -> Tensor:  # noqa: ARG002
        """One unit vector [B, E] for all."""
        return torch.full((len(values), WIDTH), WIDTH**-0.5)


class Backend:
    """A sampler that draws nothing: every result is white."""

    def __init__(self, *_: Any) -> None:
        self.scheduler_config = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}

    def draw(
        self,
        conditions: Conditions,  # noqa: ARG002
        generators: Sequence[torch.Generator],
        scheduler: Any,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        guide: Guide,  # noqa: ARG002
    ) -> Drawn:
        """B results [B, 3, SIDE, SIDE]."""
        return Drawn(torch.ones(len(generators), 3, SIDE, SIDE), 0)


class Result(ImageResult):
    """Pixels as they are, without a codec, and compared with nothing."""

    fields = (pa.field("pixels", pa.binary()),)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.reference = None

    def fitted(self, kind: str, given: Any, size: int) -> Any:  # noqa: ARG002
        """As it is."""
        return given

    def array(self, drawn: Tensor) -> NDArray[np.uint8]:
        """Pixels [B, SIDE, SIDE, 3]."""
        pixels: NDArray[np.uint8] = (drawn * 255).byte().permute(0, 2, 3, 1).numpy()
        return pixels

    def columns(self, value: Pixels, xmp: bytes = b"") -> dict[str, Any]:  # noqa: ARG002
        """One column."""
        return {"pixels": value.tobytes()}

    def stored(self, row: Mapping[str, Any]) -> Pixels | None:
        """The pixels."""
        return np.frombuffer(row["pixels"], np.uint8).reshape(SIDE, SIDE, 3) if row["pixels"] else None
