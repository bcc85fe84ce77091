"""Features of results and references by a network of the user's choice, in place of the judge's stored embeddings.

For figures that others can be held against, such as FID with the published Inception weights as TorchScript.
"""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import media, results, storage
from pipeline.conditions.clip import to_unit
from pipeline.evaluation import inputs
from pipeline.evaluation.collect import Rows
from pipeline.evaluation.inputs import Wanted
from pipeline.ledger import Plan
from pipeline.media import Pixels
from pipeline.models import checkpoint
from pipeline.settings import SettingsError

Features = Callable[[Sequence[Pixels]], NDArray[np.float32]]  # pictures [H, W, 3] -> [B, D]
BATCH = 32
SIDE = 224  # pixels that torchvision's classifiers were trained with
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as they take pictures


def load(name: str) -> Features:
    """A feature network: "FILE.pt", a diffusers autoencoder's folder, or "torchvision:NAME:WEIGHTS.pth".

    TorchScript is code: run none that you do not trust. It gets uint8 pictures [B, 3, H, W], and `return_features=True`
    if its forward takes that, as the published Inception of FID does. Raises SettingsError for anything else.
    """
    if name.startswith("torchvision:"):
        return _batched(_torchvision(*name.split(":", 2)[1:]))
    if name.endswith((".pt", ".torchscript")):
        return _batched(_torchscript(name))
    if storage.stat_or_none(storage.join(name, "config.json")):
        return _batched(_autoencoder(checkpoint.fetch(name)))
    raise SettingsError(
        f"features={name} is no TorchScript file (.pt), no folder of a diffusers model and not torchvision:NAME:WEIGHTS"
    )


def replaced(rows: Rows, run: str, plan: Plan, shards: Sequence[int], features: Features) -> Rows:
    """Rows of a unit, one at least, with these features in place of the judge's; conditions have none. Raises
    SettingsError for a run whose results are no pictures."""
    kind = results.of(plan.task)
    if kind.kind != "image":
        raise SettingsError("features= takes pictures, which the results of this run are not; leave it out")
    made = inputs.stored(run, plan, set(rows.row_id.tolist()), shards)
    pictures: list[Pixels] = [p for row in rows.row_id.tolist() if (p := kind.stored(made[row])) is not None]
    sources = rows.source_id.tolist()
    wanted = Wanted(set(sources), [kind.reference] if kind.reference else [], shards=shards)
    known = inputs.read(run, plan, len(pictures[0]), wanted).values.get(kind.reference or "", {})
    result = features(pictures)
    reference = np.full(result.shape, np.nan, np.float32)
    there = sorted(known)
    if there:
        of = dict(zip(there, features([known[source] for source in there]), strict=True))
        for at, source in enumerate(sources):
            reference[at] = of.get(source, np.nan)
    return dataclasses.replace(rows, result=result, reference=reference, conditions={})


def _batched(network: Callable[[Sequence[Pixels]], Tensor]) -> Features:
    @torch.no_grad()
    def features(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        found = [network(pictures[i : i + BATCH]).flatten(1) for i in range(0, len(pictures), BATCH)]
        return torch.cat(found).float().numpy()

    return features


def _torchscript(name: str) -> Callable[[Sequence[Pixels]], Tensor]:
    network = torch.jit.load(io.BytesIO(storage.read(name)), map_location="cpu").eval()
    takes = {argument.name for argument in network.forward.schema.arguments}
    options = {"return_features": True} if "return_features" in takes else {}
    return lambda pictures: network((to_unit(pictures) * 255).round().to(torch.uint8), **options)


def _autoencoder(folder: Path) -> Callable[[Sequence[Pixels]], Tensor]:
    from diffusers import AutoModel

    network: Any = AutoModel.from_pretrained(str(folder), use_safetensors=True).eval()

    def latents(pictures: Sequence[Pixels]) -> Tensor:
        encoded = network.encode(to_unit(pictures) * 2 - 1)
        return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents

    return latents


def _torchvision(name: str, weights: str) -> Callable[[Sequence[Pixels]], Tensor]:
    from torchvision import models

    network = models.get_model(name, weights=None)
    network.load_state_dict(torch.load(io.BytesIO(storage.read(weights)), map_location="cpu", weights_only=True))
    head = next((n for n in ("fc", "classifier", "heads", "head") if hasattr(network, n)), None)
    if head is None:
        raise SettingsError(f"features=torchvision:{name}: its last layer is not known; give TorchScript instead")
    setattr(network, head, nn.Identity())
    network.eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return lambda pictures: network((to_unit([media.fit(p, SIDE) for p in pictures]) - mean) / std)
