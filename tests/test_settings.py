from typing import Any

import pytest

from pipeline.build import build
from pipeline.settings import Guidance, Input, SettingsError, resolve

INPUT: dict[str, Any] = {"path": "x", "columns": {"id": "id", "text": None}, "keep": ["a", "b"]}


def test_plain_dictionaries_become_frozen_dataclasses() -> None:
    made = build(Input, INPUT)
    assert made == Input("x", {"id": "id", "text": None}, ("a", "b"))
    with pytest.raises(AttributeError):
        made.path = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pth": 1}, "unknown key input.pth"),
        ({"path": None}, "input.path must be text, not None"),
        ({"keep": "a"}, r"input.keep must be a list, as in input.keep=\[…\]"),
        ({"columns": ["id"]}, "input.columns must be a group of keys"),
        ({"columns": {"id": 3}}, "input.columns.id must be text, not 3"),
    ],
)
def test_wrong_values_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(Input, {**INPUT, **change}, "input")


def test_missing_keys_are_named() -> None:
    with pytest.raises(SettingsError, match="missing key input.keep"):
        build(Input, {k: v for k, v in INPUT.items() if k != "keep"}, "input")


def test_numbers_widen_but_never_narrow() -> None:
    assert build(Guidance, {"scheme": "none", "interval": [0, 3], "weights": {"text": 2}}).interval == (0.0, 3.0)
    with pytest.raises(SettingsError, match="takes 2 values, not 1"):
        build(Guidance, {"scheme": "none", "interval": [1], "weights": {}})
    with pytest.raises(SettingsError, match=r"weights.text must be a number, not 'x'"):
        build(Guidance, {"scheme": "none", "interval": None, "weights": {"text": "x"}})
    with pytest.raises(SettingsError, match="must be a number, not True"):
        build(Guidance, {"scheme": "none", "interval": None, "weights": {"text": True}})


def test_code_is_named_as_module_and_attribute() -> None:
    assert resolve("pipeline.settings:Guidance") is Guidance
    for wrong in ("pipeline.settings:Nothing", "no.such.module:x", "pipeline.settings"):
        with pytest.raises(SettingsError, match="module:attribute"):
            resolve(wrong)
