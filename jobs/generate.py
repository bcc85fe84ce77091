"""Generate from paired Parquet: python jobs/generate.py key=value … (--help lists every key)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.diffusion.schemes import scheme
from pipeline.models import files
from pipeline.settings import Generate, SettingsError


def reshape(values: dict[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """guidance.<modality> -> guidance.weights, sweep.<group>.<key> -> sweep["<group>.<key>"], a model's parts: Part."""
    guidance = dict(values["guidance"])
    name, interval = guidance.pop("scheme"), guidance.pop("interval")
    used = scheme(name).uses(values["task"]["conditions"])
    for key in typed:
        group, _, weight = key.partition(".")
        if group == "guidance" and weight in guidance and weight not in used:
            raise SettingsError(f"guidance={name} does not use {key}; it uses {', '.join(used) or 'no weight'}")
    weights = {m: guidance[m] for m in used}
    parts = {name: [files.part(value) for value in values["model"][name]] for name in ("adapters", "loras")}
    task = values["task"]
    # A family knows encoders of more roles than a task may have.
    encoders = {role: name for role, name in task["encoders"].items() if role in task["roles"]}
    return {
        **values,
        "task": {**task, "encoders": encoders},
        "model": {**values["model"], **parts},
        "guidance": {"scheme": name, "interval": interval, "weights": weights},
        "sweep": flat(values["sweep"]),
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys."""
    out: dict[str, Any] = {}
    for key, inner in values.items():
        out |= flat(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {prefix + key: inner}
    return out


def absolute(settings: Generate) -> Generate:
    """Relative local paths from here, the output from where it lasts."""
    sweep = dict(settings.sweep)
    if "model" in sweep:
        sweep["model"] = tuple(storage.absolute(str(path)) for path in sweep["model"])
    return dataclasses.replace(
        settings,
        sweep=sweep,
        enrich=settings.enrich.located(storage.absolute),
        safety=settings.safety.located(storage.absolute),
        output=storage.absolute(settings.output, output_root()),
        new_since=tuple(storage.absolute(uri, output_root()) for uri in settings.new_since),
        input=dataclasses.replace(settings.input, path=storage.absolute(settings.input.path)),
        model=files.located(settings.model, storage.absolute),
    )


def generate(settings: Generate) -> str:
    """The path of the report."""
    from pipeline import run

    return run.generate(absolute(settings))


if __name__ == "__main__":
    main("generate", Generate, generate, reshape)
