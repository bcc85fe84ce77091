"""stage=finetune: a checkpoint that others published goes on learning from pictures and their texts, any family alike.

The network is asked as jobs/generate.py asks it, by its family's backend with its family's encoders. What it is to
predict is in objective.py; what of it changes, and how that is saved, in tuned.py. Texts are dropped in a share of the
rows, which then see the checkpoint's own nothing, so that guidance goes on working. Sketches need no dropout: a row
without one sees zeros in place of what an adapter says, which is the frozen network as it is.

Options: `family`, as family= of jobs/generate.py, and `model`, the checkpoint's folder; `train`, one of base.KINDS;
`size` in pixels and `max_sequence_length` (null: as the family has them); `rank` and `targets` of a LoRA; `layers` of
a transformer's ControlNet; `drop_text`; `min_snr_gamma`, `logit_mean`, `logit_std` (objective.py); `dtype` of what is
frozen; `gradient_checkpointing`.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pipeline.conditions import Conditions, Encoder, EncoderContext
from pipeline.conditions.pixels import side
from pipeline.diffusion.families.latent import Latent
from pipeline.models import checkpoint
from pipeline.models.files import Files
from pipeline.models.fusion import Keep
from pipeline.settings import SettingsError, resolve
from pipeline.train.base import Base, check
from pipeline.train.data import Batch, Reader, colours, pictures
from pipeline.train.objective import objective
from pipeline.train.settings import Train
from pipeline.train.tuned import Tuned, tuned


class Finetuning:
    """Stage (train/loop.py) of stage=finetune."""

    def __init__(
        self, backend: Latent, encoders: Mapping[str, Encoder], network: Tuned, options: Mapping[str, Any], rows: int
    ) -> None:
        self.network: nn.Module = network
        self.backend, self.encoders, self.rows = backend, encoders, rows
        self.drop_text = float(options["drop_text"])
        self.objective = objective(backend, options)
        self.subsets = {"all": (True, True), "none": (False, False)}  # text, sketch
        if "sketch" in encoders:
            self.subsets["text"] = (True, False)

    @staticmethod
    def check(settings: Train) -> None:
        """What is trained stays inside the checkpoint's network, which FSDP2 cannot see."""
        if settings.workers.parallel == "fsdp":
            raise SettingsError("stage=finetune trains with workers.parallel=ddp alone")

    @staticmethod
    def reader(options: Mapping[str, Any]) -> Reader:
        """Pictures of the checkpoint's size, their texts, and sketches where an adapter learns them."""
        base = check(options)
        size = side(options["model"], base.options)
        read = pictures({"image_size": size}, [role for role in base.roles if role != "text"])
        return functools.partial(_chosen, roles=base.roles, read=read)

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """The checkpoint, with what is trained of it."""
        options = settings.stage.options
        base, folder = Base.of(options), checkpoint.fetch(options["model"])
        dtype: torch.dtype = getattr(torch, options["dtype"])
        own = torch.float32 if options["train"] == "full" else dtype  # of the denoiser
        backend: Latent = resolve(base.backend)(Files(folder), device, own, base.options)
        context = EncoderContext(str(folder), device, options=base.options, dtype=dtype)
        encoders = {name: resolve(place).load(context) for name, place in base.encoders.items()}
        network = tuned(backend, folder, base.adapter, options)
        return cls(backend, encoders, network, options, settings.optimiser.batch_size)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Weighted error of the prediction, without their text in a share of the rows."""
        seen = torch.ones(len(batch["text"]), dtype=torch.bool)
        told = torch.rand(len(seen), generator=generator) >= self.drop_text
        return self.error(network, batch, {"text": told, "sketch": seen}, generator)

    def error(self, network: nn.Module, batch: Batch, keep: Keep, generator: torch.Generator) -> Tensor:
        """Weighted error where `keep` says which rows may see their text and their sketch."""
        with torch.no_grad(), torch.autocast(torch.device(self.backend.device).type, enabled=False):
            x_0 = self.backend.encode(colours(batch["image"]).to(self.backend.device)).float()
            conditions = self.conditions(batch)
        noised = self.objective.draw(x_0, generator)
        seen = {name: rows.to(x_0.device) for name, rows in keep.items()}
        return noised.error(network(noised.x_t, noised.t, conditions, seen))

    def conditions(self, batch: Batch) -> Conditions:
        """What the encoders make of the rows' texts and sketches."""
        rows = len(batch["text"])
        values: dict[str, list[Any]] = {"text": [text or None for text in batch["text"]], "negative": [None] * rows}
        if "sketch" in self.encoders:
            grey = (np.frombuffer(pixels, np.uint8) for pixels in batch["sketch"])
            values["sketch"] = [pixels.reshape(self.backend.side, self.backend.side) for pixels in grey]
        return {name: encode(values[name]) for name, encode in self.encoders.items()}

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The loss on fixed noise by what the rows may see: all, the text alone, nothing."""
        parts = [{k: v[i : i + self.rows] for k, v in batch.items()} for i in range(0, len(batch["text"]), self.rows)]
        figures = {}
        for name, (text, sketch) in self.subsets.items():
            generator, total = torch.Generator().manual_seed(0), 0.0
            for part in parts:
                rows = len(part["text"])
                keep = {"text": torch.full((rows,), text), "sketch": torch.full((rows,), sketch)}
                total += rows * float(self.error(network, part, keep, generator))
            figures[f"loss_{name}"] = total / len(batch["text"])
        return figures

    def save(self, network: nn.Module, folder: Path) -> None:
        """As diffusers writes a LoRA, a checkpoint or an adapter."""
        if isinstance(network, Tuned):
            network.save(folder)


def _chosen(table: pa.Table, roles: tuple[str, ...], read: Reader) -> pa.Table:
    """The columns that are learned from, read. Raises SettingsError where one is not given."""
    for role in roles:
        if role not in table.column_names:
            raise SettingsError(f"stage=finetune needs the input's {role}; name its column with input.columns.{role}=")
    return read(table.select(roles)).select(roles)  # no white sketches beside texts and images
