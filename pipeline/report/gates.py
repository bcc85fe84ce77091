"""Values of the fusion's learned gates, from its weights alone: numpy, since importing torch takes seconds.

    gate(t) = tanh(W2 silu(W1 [sum_m evidence_m; sinusoid(t)] + b1) + b2)

is `models/fusion.py: Fusion.gates`. What a real input adds to the evidence is the embedding of a CLIP that the report
does not load; embeddings of random directions take its place, and the band shows how little or much that moves a gate.
"""

import dataclasses
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TIMESTEPS = (0, 125, 250, 375, 500, 625, 750, 875, 999)
DIRECTIONS = 32
KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclasses.dataclass(frozen=True)
class Fusion:
    """Weights of a saved fusion by name, and the modalities in the order of its gates."""

    weights: Mapping[str, Array]
    modalities: tuple[str, ...]

    def gates(self, pooled: Mapping[str, Array], t: Array) -> dict[str, Array]:
        """Gate of each modality [B], in (-1, 1), for pooled embeddings [B, E] and timesteps t [B]."""
        w = self.weights
        evidence = sum(x @ w[f"pool.{m}.weight"].T + w[f"pool.{m}.bias"] for m, x in pooled.items())
        first = np.concatenate([evidence, sinusoid(t, w["gate.0.weight"].shape[0])], 1) @ w["gate.0.weight"].T
        hidden = first + w["gate.0.bias"]
        values = np.tanh(hidden / (1 + np.exp(-hidden)) @ w["gate.2.weight"].T + w["gate.2.bias"])
        return dict(zip(self.modalities, values.T, strict=True))

    def over_time(self, timesteps: Sequence[int] = TIMESTEPS, seed: int = 0) -> dict[str, Array]:
        """Gates [timesteps, DIRECTIONS] for seeded random embeddings of unit length."""
        rng = np.random.default_rng(seed)
        names = [name.split(".")[1] for name in self.weights if name.startswith("pool.") and name.endswith(".weight")]
        pooled = {m: _unit(rng.normal(size=(DIRECTIONS, self.weights[f"pool.{m}.weight"].shape[1]))) for m in names}
        found = [self.gates(pooled, np.full(DIRECTIONS, t, np.float64)) for t in timesteps]
        return {m: np.stack([at[m] for at in found]) for m in self.modalities}


def sinusoid(t: Array, width: int) -> Array:
    """Timestep embedding [B, width], cosines first (diffusers' get_timestep_embedding with flip_sin_to_cos)."""
    half = width // 2
    angles = t[:, None] * np.exp(-np.log(10_000) * np.arange(half) / half)
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def read(data: bytes, modalities: Sequence[str]) -> Fusion:
    """The fusion of a safetensors file: a length, a JSON header, then the tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    wanted = ("pool.", "gate.")
    weights = {n: _tensor(body, e) for n, e in header.items() if n.startswith(wanted)}
    return Fusion(weights, tuple(sorted(modalities)))


def _tensor(body: bytes, entry: Mapping[str, Any]) -> Array:
    start, stop = entry["data_offsets"]
    raw = body[start:stop]
    flat: NDArray[Any]
    if entry["dtype"] == "BF16":  # the upper half of a float32
        flat = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(raw, KINDS[entry["dtype"]])
    return flat.astype(np.float64).reshape(entry["shape"])
