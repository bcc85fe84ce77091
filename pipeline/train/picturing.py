"""What stages share that make pictures of text and sketch in the latents of a frozen autoencoder: what a batch becomes,
what any subset of the conditions gives on held-out rows, results that are drawn and scored, the folder that is saved.

Options: those of frozen.py; `drop_each` and `drop_all` shares (shares.py); `flood`, the share of rows whose text, and
of those whose sketch, is noise (flooding.py); `judge` (a CLIP folder, or null) and `scores` of the pictures that are
drawn in validation.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.conditions import Conditions
from pipeline.conditions.clip import ClipJudge
from pipeline.conditions.sketch import SketchEncoder
from pipeline.media import Pixels
from pipeline.models import checkpoint, image
from pipeline.models.fusion import Keep
from pipeline.train import drawing, shares
from pipeline.train.data import Batch, Places, augment, caption, may_mirror, pictures, to_tensors, told
from pipeline.train.flooding import flooded
from pipeline.train.frozen import Frozen
from pipeline.train.stage import Drawn
from pipeline.train.validation import compared, scored

MODALITIES = ("text", "sketch")
SUBSETS = {"all": MODALITIES, "text": ("text",), "sketch": ("sketch",), "none": ()}


class Picturing:
    """A network over a frozen CLIP and autoencoder; `scheduler` says what it predicts, and of which noise."""

    reader = staticmethod(functools.partial(pictures, needed=("image",)))
    sampler = drawing.SCHEDULER  # that results are drawn by

    def __init__(self, network: nn.Module, frozen: Frozen, options: Mapping[str, Any], scheduler: Any) -> None:
        self.network: nn.Module = network
        self.frozen, self.device, self.options = frozen, frozen.clip.device, options
        self.vae = frozen.vae
        self.scheduler = scheduler
        self.alpha_bar = scheduler.alphas_cumprod.to(self.device)
        judge = options["judge"]
        self.judge = judge and ClipJudge.load(str(checkpoint.fetch(judge)), self.device)
        self.text, self.sketch = frozen.text, SketchEncoder(frozen.clip, frozen.clip.image_size)

    def asked(self, network: nn.Module) -> Callable[..., Tensor]:
        """The network as the sampling loop asks it: x_t, t, conditions, keep -> prediction."""
        return network

    def error(
        self, network: nn.Module, picture: Tensor, conditions: Conditions, keep: Keep, generator: torch.Generator
    ) -> Tensor:
        """How far the network is from pictures [B, 3, S, S] whose conditions are known."""
        raise NotImplementedError

    def order(self, rows: Batch, rng: np.random.Generator) -> Places:
        """Rows that lack conditions come in the shares that the options want."""
        return shares.order(rows, MODALITIES, self.options, rng)

    def conditions(self, batch: Batch, texts: Sequence[str], sketch: Tensor) -> Conditions:
        """Evidence of texts and sketches [B, 1, S, S] in [0, 1], absent in the rows of a batch that have none."""
        found = {"text": self.text(texts), "sketch": self.sketch.of_tensor(sketch)}
        found = {name: condition.withhold(~told(batch, name)) for name, condition in found.items()}
        return {name: condition.each(lambda t: t.to(self.device)) for name, condition in found.items()}

    def varied(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Conditions]:
        """(pictures [B, 3, S, S] in [0, 1], conditions) to train on: moved and mirrored together, texts as people
        type them."""
        picture, sketch = to_tensors(batch, self.device)
        moved = augment(torch.cat([picture, sketch], 1), generator, may_mirror(list(batch["text"])))
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        texts = [caption(t, g, rng) for t, g in zip(batch["text"], batch["tags"], strict=True)]
        drawn = moved[:, 3:]
        if self.options["flood"]:
            texts, drawn = flooded(texts, drawn, self.options["flood"], generator)
        return moved[:, :3], self.conditions(batch, texts, drawn)

    def on(self, keep: Keep) -> dict[str, Tensor]:
        """Masks on the device."""
        return {name: rows.to(self.device) for name, rows in keep.items()}

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The error with all conditions and with none, on fixed noise: their gap is what the conditions tell."""
        picture, sketch = to_tensors(batch, self.device)
        conditions = self.conditions(batch, list(batch["text"]), sketch)
        figures = {}
        for name, kept in SUBSETS.items():
            keep = {m: torch.full((len(picture),), m in kept) for m in MODALITIES}
            figures[f"loss_{name}"] = float(
                self.error(network, picture, conditions, keep, torch.Generator().manual_seed(0))
            )
        return figures

    @torch.no_grad()
    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:
        """Pictures by text and sketch; in the grid sketches, results and the rows' own pictures."""
        pictures, sketches = to_tensors(batch, self.device)
        conditions = self.conditions(batch, list(batch["text"]), sketches)
        side = sketches.shape[-1] // 4
        shape = (self.vae.config.latent_channels, side, side)
        denoiser = drawing.Training(self.asked(network), shape, self.scheduler.config)
        x_0 = drawing.draw(denoiser, conditions, steps, self.sampler)
        results = list(pixels(image.decode(self.vae, x_0)))
        inputs = {
            "text": list(batch["text"]),
            "sketch": list(pixels(sketches)[..., 0]),
            "image": list(pixels(pictures)),
        }
        found = scored(self.options["scores"], compared(self.judge, "image", results, inputs))
        return Drawn(found, drawing.grid([inputs["sketch"], results, inputs["image"]]))

    def save(self, network: nn.Module, folder: Path) -> None:
        """A whole generator: unet, adapter, fusion, scheduler, the frozen parts, model_index.json, checksums."""
        parts = {name: getattr(network, name) for name in ("unet", "adapter", "fusion")}
        parts["scheduler"] = self.scheduler
        checkpoint.save_generator(folder, parts, self.frozen.folders, text_tokens=self.frozen.text_tokens)


def pixels(pictures: Tensor) -> Pixels:
    """[B, S, S, C] of pictures [B, C, S, S] in [0, 1]."""
    return (pictures * 255).round().nan_to_num().byte().permute(0, 2, 3, 1).cpu().numpy()
