"""What the loops written by hand draw with: diffusers' own parts of a generator folder, and a row's conditions.

The loops (plain.py, best.py) share nothing with pipeline/diffusion: they are what somebody would write who has these
weights and diffusers. The learned fusion of the conditions is a network of the model, so it is the project's.
"""

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, T2IAdapter, UNet2DConditionModel
from PIL import Image
from torch import Tensor

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.clip import TextEncoder
from pipeline.conditions.sketch import SketchEncoder
from pipeline.models.fusion import Fusion
from pipeline.seeds import row_seed

BRANCHES = ((), ("sketch",), ("text",))  # of composed guidance: eps0 + sum_i l_i (eps_i - eps0)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a loop is to draw."""

    model: str  # a generator folder
    input: str  # a Parquet file
    output: str  # folder
    rows: int
    steps: int
    weights: Mapping[str, float]  # "text", "sketch"
    seed: int
    batch_size: int = 1
    processes: int = 1
    threads: int = 1  # of each process


class Parts:
    """A generator folder as diffusers loads it."""

    def __init__(self, folder: str) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(f"{folder}/unet").eval()
        self.adapter = T2IAdapter.from_pretrained(f"{folder}/adapter").eval()
        self.vae = AutoencoderTiny.from_pretrained(f"{folder}/vae").eval()
        self.fusion = Fusion.from_pretrained(f"{folder}/fusion").eval()
        schedule = json.loads(Path(folder, "scheduler", "scheduler_config.json").read_text("utf-8"))
        self.solver = DPMSolverMultistepScheduler.from_config(schedule, algorithm_type="dpmsolver++", solver_order=2)
        context = EncoderContext(folder, "cpu")
        self.text, self.sketch = TextEncoder.load(context), SketchEncoder.load(context)
        side = self.unet.config.sample_size
        self.latent_shape = (self.unet.config.in_channels, side, side)

    def scheduler(self, steps: int) -> Any:
        """DPM-Solver++ (2M) on the schedule of the training, at the first of so many steps."""
        self.solver.set_timesteps(steps)
        return self.solver

    def pixels(self, x_0: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Pictures [B, S, S, 3] of scaled latents [B, C, h, w]."""
        decoded = self.vae.decode(x_0 / self.vae.config.scaling_factor).sample / 2 + 0.5
        pictures: np.ndarray[Any, np.dtype[np.uint8]] = (
            (decoded.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        )
        return pictures

    def conditions(self, texts: Sequence[str], sketches: Sequence[Any]) -> dict[str, Condition]:
        """Evidence of B rows, the sketches' as the adapter's features."""
        sketch = self.sketch(sketches)
        features = tuple(self.adapter(sketch.maps[0]))
        return {"text": self.text(texts), "sketch": dataclasses.replace(sketch, maps=features)}

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal [B, C, h, w], each row by its own seed."""
        return torch.stack([torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(s)) for s in seeds])


@dataclasses.dataclass(frozen=True)
class Given:
    """One row of the input."""

    id: str
    text: str
    sketch: np.ndarray[Any, np.dtype[np.uint8]]  # grey [H, W]


def rows(asked: Asked, part: int = 0) -> Iterator[Given]:
    """The rows of one of the processes."""
    table = pq.read_table(asked.input, columns=["id", "text", "sketch"]).slice(0, asked.rows)
    for row in table.to_pylist()[part :: asked.processes]:
        yield Given(row["id"], row["text"], picture(row["sketch"]["bytes"]))


def picture(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey pixels [H, W] of a sketch's file, on white."""
    opened = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened)
    return np.asarray(white.convert("RGB").convert("L"))


def seeds(asked: Asked, given: Sequence[Given]) -> list[int]:
    """The pipeline's seeds, so that both draw on the same noise."""
    return [row_seed(asked.seed, row.id, 0) for row in given]
