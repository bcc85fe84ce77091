"""The cells of a sweep: every combination of the values that are swept, as rows of one plan.

Cells share inputs and noise. Those of one model share encodings too; models are the outermost axis, so that an
actor loads one after the other.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.settings import Generate, SettingsError


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting of a sweep: what differs between rows that share an input and its noise."""

    name: str  # "" for the only cell of a run without a sweep
    guidance: Mapping[str, float]
    drop: tuple[str, ...]
    scheduler: str
    steps: int
    model: str  # where its weights are; their content, not this path, enters the recipe

    @property
    def key(self) -> str:
        """What enters the row's id: equal for equal settings, whatever the sweep calls them."""
        named = {f: getattr(self, f) for f in ("drop", "scheduler", "steps")}
        return json.dumps({"guidance": dict(self.guidance), **named}, sort_keys=True)

    @property
    def loop(self) -> tuple[str, int]:
        """Rows that share this go through the sampling loop together."""
        return self.scheduler, self.steps


def models(settings: Generate) -> tuple[str, ...]:
    """Where the weights of a run are, in the order in which they are used."""
    return tuple(str(path) for path in settings.sweep.get("model", (settings.model.path,)))


def variants(settings: Generate) -> tuple[Generate, ...]:
    """The settings of each model of a run, as if it were the only one."""
    others = {key: values for key, values in settings.sweep.items() if key != "model"}
    return tuple(
        dataclasses.replace(settings, sweep=others, model=dataclasses.replace(settings.model, path=path))
        for path in models(settings)
    )


def cells(settings: Generate) -> tuple[Cell, ...]:
    """The product of the sweep's values, models outermost. Raises SettingsError for keys that cannot be swept."""
    axes = {key: settings.sweep[key] for key in sorted(settings.sweep, key=lambda key: key != "model")}
    base = Cell(
        "", dict(settings.guidance.weights), settings.drop, settings.scheduler, settings.steps, settings.model.path
    )
    found = []
    for values in itertools.product(*axes.values()):
        cell = base
        for key, value in zip(axes, values, strict=True):
            cell = _changed(cell, key, value)
        names = (f"{k.removeprefix('guidance.')}={_label(axes[k], v)}" for k, v in zip(axes, values, strict=True))
        found.append(dataclasses.replace(cell, name=" ".join(names)))
    for what in (lambda cell: (cell.model, cell.key), lambda cell: cell.name):
        if len({what(cell) for cell in found}) < len(found):
            raise SettingsError("two settings of the sweep are the same; give each value once")
    return tuple(found)


def of_model(found: Sequence[Cell], model: str) -> tuple[Cell, ...]:
    """The cells whose weights are there."""
    return tuple(cell for cell in found if cell.model == model)


def _changed(cell: Cell, key: str, value: Any) -> Cell:
    """The cell with one swept value."""
    weight = key.removeprefix("guidance.")
    if key != weight and weight in cell.guidance:
        return dataclasses.replace(cell, guidance={**cell.guidance, weight: _number(key, value)})
    if key not in SWEPT:
        known = [f"guidance.{w}" for w in cell.guidance] + list(SWEPT)
        raise SettingsError(f"sweep.{key} cannot be swept; known: {', '.join(known)}")
    return dataclasses.replace(cell, **{key: SWEPT[key](key, value)})


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"sweep.{key}: {value!r} is not a number")
    return float(value)


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"sweep.{key}: {value!r} is not a whole number")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"sweep.{key}: {value!r} is not text")
    return value


def _dropped(_: str, value: Any) -> tuple[str, ...]:
    """sweep.drop=[none,text,[text,sketch]]: each value is a modality, a list of them, or none."""
    if value in (None, "none"):
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (str(value),)


SWEPT: Mapping[str, Callable[[str, Any], Any]] = {
    "drop": _dropped,
    "steps": _whole,
    "scheduler": _text,
    "model": _text,
}


def _label(values: Sequence[Any], value: Any) -> str:
    """How a cell's name calls a value: paths by their last part, if that is enough to tell them apart."""
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    short = [str(v).rstrip("/").rsplit("/", 1)[-1] for v in values]
    return short[list(values).index(value)] if len(set(short)) == len(short) else str(value)
