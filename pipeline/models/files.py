"""The files of a generator on this node: its folder and what joins it (adapters, LoRAs, another autoencoder)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.models import checkpoint
from pipeline.patience import StorageError
from pipeline.seeds import digest
from pipeline.weights import Model, Part

Scaled = tuple[tuple[Path, float], ...]


@dataclasses.dataclass(frozen=True)
class Files:
    """Local folders of one generator."""

    folder: Path
    adapters: Scaled = ()
    loras: Scaled = ()
    vae: Path | None = None
    trust_pickle: bool = False


def part(value: Any) -> dict[str, Any]:
    """A part of a model as people type it, a path or {path: path, scale: 0.8}, with all its keys."""
    return {"path": value, "scale": 1.0} if isinstance(value, str) else {"scale": 1.0, **value}


def located(model: Model, place: Callable[[str], str]) -> Model:
    """The model with every path as `place` gives it."""

    def each(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(dataclasses.replace(part, path=place(part.path)) for part in parts)

    return dataclasses.replace(
        model,
        path=place(model.path),
        judge=place(model.judge),
        vae=model.vae and place(model.vae),
        adapters=each(model.adapters),
        loras=each(model.loras),
    )


def fingerprints(model: Model) -> dict[str, str]:
    """Hashes of the content: "model" of all weights that make a generator, and their scales; where parts joined it,
    "generator" of its own folder."""
    own = checkpoint.fingerprint(model.path, model.trust_pickle)
    joined = [
        f"{kind} {checkpoint.fingerprint(part.path, model.trust_pickle)} {part.scale}"
        for kind, parts in (("adapter", model.adapters), ("lora", model.loras))
        for part in parts
    ]
    joined += [f"vae {checkpoint.fingerprint(model.vae, model.trust_pickle)}"] if model.vae else []
    return {"model": digest(own, *joined).hex(), "generator": own} if joined else {"model": own}


def fetch(model: Model, expected: str | None = None) -> Files:
    """Folders on this node, copied once for all its processes. Raises StorageError if the content is not as planned."""
    if expected is not None and fingerprints(model)["model"] != expected:
        raise StorageError(f"{model.path} has changed since the run was planned; use another output=")

    def folder(uri: str) -> Path:
        return checkpoint.fetch(uri, model.trust_pickle)

    def scaled(parts: tuple[Part, ...]) -> Scaled:
        return tuple((folder(part.path), part.scale) for part in parts)

    vae = folder(model.vae) if model.vae else None
    return Files(folder(model.path), scaled(model.adapters), scaled(model.loras), vae, model.trust_pickle)
