"""Learning rates: linear warm-up, then a schedule by name.

A new one is a function from the share of the training that is done, in [0, 1], to the share of `optimiser.lr`; name
it as optimiser.schedule=module:attribute.
"""

import math
from collections.abc import Callable

from pipeline.settings import SettingsError, resolve
from pipeline.train.settings import Optimiser

Schedule = Callable[[float], float]

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "quadratic": lambda done: (1 - done) ** 2,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),  # Loshchilov & Hutter 2017
}


def schedule(name: str) -> Schedule:
    """The schedule of a name. Raises SettingsError for one that is not known."""
    if ":" in name:
        return resolve(name)
    if name not in SCHEDULES:
        raise SettingsError(f"unknown optimiser.schedule={name}; known: {', '.join(SCHEDULES)}, or module:attribute")
    return SCHEDULES[name]


def learning_rate(options: Optimiser, step: int, total: int) -> float:
    """Rate of a step in [0, total): warmed up over the first `warmup_steps`, then by the schedule."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    done = min(1.0, (step - options.warmup_steps) / max(1, total - options.warmup_steps))
    return options.lr * schedule(options.schedule)(done)
