"""Steps of a flow whose schedule is shifted by the length of the sequence (Esser et al. 2024, section 5.3.2)."""

import inspect
from typing import Any

import numpy as np


def set_flow_timesteps(scheduler: Any, steps: int, length: int, sigmas: bool = False) -> None:
    """Lay out the steps for `length` patches. `sigmas`: evenly from 1 down to 1 / steps, as Flux was distilled for."""
    takes = inspect.signature(scheduler.set_timesteps).parameters
    config = scheduler.config
    given: dict[str, Any] = {}
    if config.get("use_dynamic_shifting") and "mu" in takes:
        first, last = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        given["mu"] = low + (length - first) * (high - low) / (last - first)
    if sigmas and "sigmas" in takes and not config.get("use_flow_sigmas"):
        given["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(steps, **given)
