"""The axes of a run's sweep, read from its plan alone, whatever was swept: weights, drop, or any other key.

Cells stand in a plan in the order of the product of the sweep's values (plan.py), so that the values of a cell
need not be read out of its name.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from pipeline.ledger import Plan
from pipeline.plan import Cell


@dataclasses.dataclass(frozen=True)
class Axis:
    """A key of the sweep that has more than one value."""

    key: str  # as it is typed behind "sweep."
    values: tuple[Any, ...]  # in ascending order if they are numbers, else as they were given

    @property
    def title(self) -> str:
        """What stands at the axis."""
        weight = self.key.removeprefix("guidance.")
        return f"weight of {weight}" if weight != self.key else self.key

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


def values(plan: Plan) -> dict[str, dict[str, Any]]:
    """Cell name -> swept key -> value, for all cells."""
    swept = {key: [_frozen(v) for v in options] for key, options in plan.identity["sweep"].items()}
    combinations = itertools.product(*swept.values())
    return {
        cell.name: dict(zip(swept, chosen, strict=True)) for cell, chosen in zip(plan.cells, combinations, strict=True)
    }


def axes(plan: Plan) -> tuple[Axis, ...]:
    """Axes of the sweep: numbers first, the longest first."""
    found = [_axis(key, options) for key, options in plan.identity["sweep"].items() if len(options) > 1]
    return tuple(sorted(found, key=lambda a: (not a.numeric, -len(a.values))))


def _axis(key: str, options: Any) -> Axis:
    axis = Axis(key, tuple(map(_frozen, options)))
    return Axis(key, tuple(sorted(axis.values))) if axis.numeric else axis


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def label(value: Any) -> str:
    """A value of the sweep as it is shown."""
    if isinstance(value, list | tuple):
        return "+".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).rsplit("/", 1)[-1]


def setting(plan: Plan, cell: Cell, key: str) -> Any:
    """What a cell has for a key that may be swept: its own value, else the run's."""
    return values(plan)[cell.name].get(key, plan.identity[key])


def plane(plan: Plan, fixed: str) -> tuple[tuple[Axis, ...], Mapping[tuple[Any, ...], str]]:
    """The first two axes, and (values on them) -> cell, all other axes being where cell `fixed` has them."""
    shown, others = axes(plan)[:2], axes(plan)[2:]
    at = values(plan)
    alike = [name for name in at if all(at[name][o.key] == at[fixed][o.key] for o in others)]
    return shown, {tuple(at[name][a.key] for a in shown): name for name in alike}
