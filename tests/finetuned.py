"""Tiny published checkpoints in fine-tuning, without Ray: settings, a batch, a few steps."""

from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from jobs.cli import compose_config
from pipeline.build import build
from pipeline.train.data import Batch
from pipeline.train.finetuning import Finetuning
from pipeline.train.settings import Train
from tests import parity, published, tiny

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3", "flux")
TRAINED = [(family, kind) for family in FAMILIES for kind in ("lora", "full", "controlnet")]
TRAINED += [(family, "t2i_adapter") for family in FAMILIES[:2]]
SMALL = {"size": published.SIDE, "max_sequence_length": 32, "rank": 4, "layers": 1}


def arguments(family: str, kind: str, *more: str) -> list[str]:
    """Of jobs/train.py, without input and output."""
    given = {**SMALL, "family": family, "model": parity.folder(family), "train": kind}
    sketch = ["input.columns.sketch=sketch"] if kind in ("t2i_adapter", "controlnet") else []
    return ["stage=finetune", *(f"stage.options.{k}={v}" for k, v in given.items()), *sketch, *more]


def settings(family: str, kind: str, *more: str) -> Train:
    """Settings of a training of a tiny checkpoint."""
    given = arguments(family, kind, "train_where=null", "val_where=null", *more)
    if not any(argument.startswith("output=") for argument in given):
        given.append("output=unused")
    values: Any = OmegaConf.to_container(compose_config("train", given), resolve=True)
    return build(Train, values)


def stage(family: str, kind: str, *more: str) -> Finetuning:
    """As a worker makes it."""
    torch.manual_seed(0)
    return Finetuning.create(settings(family, kind, *more))


def batch(count: int = 4, side: int = published.SIDE) -> Batch:
    """Coloured boxes, their outlines and their texts."""
    colour, sketch = zip(*(tiny.picture(i) for i in range(count)), strict=True)
    return {
        "image": np.array([np.asarray(c.resize((side, side))).tobytes() for c in colour], dtype=object),
        "sketch": np.array([np.asarray(s.resize((side, side))).tobytes() for s in sketch], dtype=object),
        "text": np.array([f"a {tiny.COLOURS[i % 5]} box" for i in range(count)], dtype=object),
    }


def learn(made: Finetuning, rows: Batch, steps: int, lr: float = 3e-3, draws: int = 1) -> list[float]:
    """Losses of some steps on one batch; `draws` noises in turn."""
    optimiser = torch.optim.AdamW(made.network.parameters(), lr)
    losses = []
    for index in range(steps):
        loss = made.loss(made.network, rows, torch.Generator().manual_seed(index % draws))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
