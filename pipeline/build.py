"""Settings from plain dictionaries, as jobs/cli.py composes them from conf/, strictly: unknown keys, missing keys and
wrong types are refused with the full name of the key.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pipeline.settings import SettingsError

T = TypeVar("T")
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def build(cls: type[T], values: Any, at: str = "") -> T:
    """Dataclass `cls` from nested dictionaries; `at` is the prefix of key names in errors."""
    if not isinstance(values, Mapping):
        raise SettingsError(f"{at or 'the configuration'} must be a group of keys, not {values!r}")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    prefix = f"{at}." if at else ""
    if unknown := sorted(set(values) - set(names)):
        raise SettingsError(f"unknown key {prefix}{unknown[0]}; known here: {', '.join(names)}")
    if missing := [n for n in names if n not in values]:
        raise SettingsError(f"missing key {prefix}{missing[0]}")
    return cls(**{n: _convert(hints[n], values[n], prefix + n) for n in names})


def _convert(hint: Any, value: Any, at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _convert(args[0], value, at)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type", hint), value, at)
    if origin is tuple:
        return _tuple(args, value, at)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{at} must be a group of keys, not {value!r}")
        return {str(k): _convert(args[1], v, f"{at}.{k}") for k, v in value.items()}
    return value if hint is Any else _scalar(hint, value, at)


def _tuple(args: tuple[Any, ...], value: Any, at: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{at} must be a list, as in {at}=[…], not {value!r}")
    if args[-1] is Ellipsis:
        return tuple(_convert(args[0], v, at) for v in value)
    if len(value) != len(args):
        raise SettingsError(f"{at} takes {len(args)} values, not {len(value)}")
    return tuple(_convert(a, v, at) for a, v in zip(args, value, strict=True))


def _scalar(hint: type, value: Any, at: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise SettingsError(f"{at} must be {_NAMES.get(hint, hint.__name__)}, not {value!r}")
    return value
