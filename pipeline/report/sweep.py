"""The axes of a run's sweep, read from the cells of its plan: weights, and any other field that was swept."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.cells import Cell
from pipeline.ledger import Plan


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
    keys = list(plan.identity["sweep"])
    if len({cell.model for cell in plan.cells}) > 1:
        keys = ["model", *keys]  # an identity knows models by their content
    return {cell.name: {key: _value(cell, key) for key in keys} for cell in plan.cells}


def _value(cell: Cell, key: str) -> Any:
    weight = key.removeprefix("guidance.")
    return cell.guidance[weight] if weight != key else getattr(cell, key)


def axes(plan: Plan) -> tuple[Axis, ...]:
    """Axes of the sweep: numbers first, the longest first."""
    at = list(values(plan).values())
    found = [_axis(key, tuple(dict.fromkeys(v[key] for v in at))) for key in at[0]]
    return tuple(sorted((a for a in found if len(a.values) > 1), key=lambda a: (not a.numeric, -len(a.values))))


def _axis(key: str, options: tuple[Any, ...]) -> Axis:
    axis = Axis(key, options)
    return Axis(key, tuple(sorted(options))) if axis.numeric else axis


def label(value: Any) -> str:
    """A value of the sweep as it is shown."""
    if isinstance(value, list | tuple):
        return "+".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).rsplit("/", 1)[-1]


def plane(plan: Plan, fixed: str) -> tuple[tuple[Axis, ...], Mapping[tuple[Any, ...], str]]:
    """The first two axes, and (values on them) -> cell, all other axes being where cell `fixed` has them."""
    shown, others = axes(plan)[:2], axes(plan)[2:]
    at = values(plan)
    alike = [name for name in at if all(at[name][o.key] == at[fixed][o.key] for o in others)]
    return shown, {tuple(at[name][a.key] for a in shown): name for name in alike}
