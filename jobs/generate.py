"""Generate from paired Parquet: python jobs/generate.py key=value … (--help lists every key)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.conf import flatten
from pipeline.diffusion.schemes import scheme
from pipeline.models import files, names
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
    # A family knows encoders of more roles than a task may have; what adapters serve is read for them alone.
    idle = {task["options"].get("adapted")} - set(task["conditions"])
    encoders = {role: name for role, name in task["encoders"].items() if role in task["roles"] and role not in idle}
    return {
        **values,
        "task": {**task, "encoders": encoders},
        "model": {**values["model"], **parts},
        "guidance": {"scheme": name, "interval": interval, "weights": weights},
        "sweep": flatten(values["sweep"]),
    }


def absolute(settings: Generate) -> Generate:
    """Relative local paths from here, the output from where it lasts; names of models as places."""

    def place(uri: str) -> str:
        return storage.absolute(names.place(uri))

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
        model=files.located(settings.model, place),
    )


def generate(settings: Generate) -> str:
    """The path of the report."""
    from pipeline import run

    return run.generate(absolute(settings))


if __name__ == "__main__":
    main("generate", Generate, generate, reshape)
