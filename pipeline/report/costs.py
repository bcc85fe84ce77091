"""What a setting costs: how often the network is asked for one row, and which conditions it then sees.

A cell alone would need one forward for each branch of guidance that weighs something, at each step inside the
guidance interval, and one at each step outside (diffusion/guidance.py). A sweep evaluates the branches that any of
its cells needs, for all of them, so that a run may have spent more on a cell than the cell needs.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.cells import Cell
from pipeline.diffusion.schedulers import SCHEDULERS, make_scheduler
from pipeline.diffusion.schemes import scheme, subsets
from pipeline.ledger import Plan

SECOND_ORDER = {"heun"}  # two evaluations a step, one at the last


def seen(plan: Plan, cell: Cell) -> frozenset[str]:
    """Conditions that any branch of the cell's guidance shows to the network."""
    table = scheme(plan.identity["guidance"]["scheme"]).table(plan.identity["task"]["conditions"], cell.guidance)
    return frozenset[str]().union(*(s for s, weight in table.items() if weight)) - set(cell.drop)


def row_forwards(plan: Plan, cell: Cell, scheduler_config: Mapping[str, Any] | None) -> int:
    """Forwards of the network for one row of a cell that is run alone.

    `scheduler_config` is the model's; without it, and where its steps depend on the size of the picture, a guidance
    interval is taken to cover every step.
    """
    identity = plan.identity
    branches = len(subsets(identity["guidance"]["scheme"], identity["task"]["conditions"], [cell.guidance]))
    name, steps = cell.scheduler, cell.steps
    interval = identity["guidance"]["interval"]
    plain = interval is None and name in SCHEDULERS
    if scheduler_config is None or scheduler_config.get("use_dynamic_shifting") or plain:
        return branches * evaluations(name, steps)
    sigmas = _sigmas(name, steps, scheduler_config)
    inside = sum(interval is None or interval[0] <= sigma <= interval[1] for sigma in sigmas)
    return branches * inside + len(sigmas) - inside


def evaluations(scheduler: str, steps: int) -> int:
    """Times a scheduler of SCHEDULERS asks for a prediction."""
    return 2 * steps - 1 if scheduler in SECOND_ORDER else steps


def _sigmas(name: str, steps: int, config: Mapping[str, Any]) -> list[float]:
    """Noise levels at which a scheduler asks for a prediction. It imports torch, which takes seconds."""
    from pipeline.diffusion.sampler import sigma_of

    scheduler = make_scheduler(name, dict(config))
    scheduler.set_timesteps(steps)
    return [sigma_of(scheduler, index) for index in range(len(scheduler.timesteps))]
