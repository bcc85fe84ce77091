"""Making the plan of a run, or adopting the one that stands in its output already.

Of two planners at once the second adopts the first's plan: plan.json is put create-only and last, and read back.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import ledger, plan, progress, since, sources, storage
from pipeline.cells import cells
from pipeline.ledger import Part, Plan
from pipeline.plan import Weights
from pipeline.seeds import digest
from pipeline.settings import Generate, SettingsError

NO_CREATE_ONLY = (
    "note: the store of {output} has no create-only puts; of two runs into it at once the later one's shards may stay, "
    "which are the same bytes only on the same type of device"
)

# What an identity knows by content alone -> the key that says where it is.
PATHS = {
    "model.model": "model.path",
    "model.language": "enrich.model",
    "model.template": "enrich.template",
    "model.classifier": "safety.classifier",
}


def adopt_or_make(settings: Generate, weights: Sequence[Weights]) -> Plan:
    """The plan of settings.output: the one that stands there, if it agrees with the settings, else a new one.

    `weights` are the content hashes of each of the run's models.
    """
    identity = json.loads(json.dumps(plan.identity(settings, weights)))
    found = ledger.load(settings.output) or _make(settings, weights, identity)
    if differing := _differences(found.identity, identity):
        raise SettingsError(
            f"{settings.output} holds a run with other settings ({', '.join(map(_typed, differing))}); "
            "choose another output=, or repeat that run's settings to continue it"
        )
    return found


def _make(settings: Generate, weights: Sequence[Weights], identity: Mapping[str, Any]) -> Plan:
    files = sources.input_files(settings.input)
    names = plan.fingerprints(settings, weights)
    inputs: plan.Inputs = functools.partial(sources.source_rows, settings.input, files, settings.where)
    if settings.new_since:
        inputs = since.new_only(settings, names, files, inputs)
    shards = plan.planned(settings, names, inputs)
    parts: list[Part] = []
    for number, (data, count, rows) in enumerate(plan.parts(shards)):
        name = f"{digest(data).hex()}-{number:05d}.parquet"
        storage.put_new(storage.join(settings.output, "plan", name), data)
        parts.append(Part(name, sum(p.shards for p in parts), count, rows))
    if not parts and not settings.new_since:
        raise SettingsError(
            f"input.path={settings.input.path} has no row" + (f" with {settings.where}" if settings.where else "")
        )
    grid = cells(settings)
    rows = sum(p.rows for p in parts)
    count = rows // (len(grid) * settings.num_samples)
    made = Plan(names, identity, grid, tuple(files), tuple(parts), count, rows, settings.model.judge, _places(settings))
    if not rows:
        progress.say("nothing is new: earlier runs have finished every input")
    if not storage.creates_only(settings.output):
        progress.say(NO_CREATE_ONLY.format(output=settings.output))
    storage.put_new(ledger.plan_uri(settings.output), made.to_json())
    return Plan.from_json(storage.read_json(ledger.plan_uri(settings.output)))


def _places(settings: Generate) -> dict[str, Any]:
    """Where what joined the models, wrote texts and looked at results was: key as a person types it -> value."""
    model, enrich = dataclasses.asdict(settings.model), dataclasses.asdict(settings.enrich)
    found = {f"model.{key}": model[key] for key in ("adapters", "loras", "vae", "trust_pickle")}
    if settings.enrich.model is not None:
        found |= {f"enrich.{key}": enrich[key] for key in ("model", "endpoint", "template")}
    found["safety.classifier"] = settings.safety.classifier
    return {key: value for key, value in found.items() if value}


def _differences(there: Any, here: Any, at: str = "") -> list[str]:
    """Dotted names of the keys in which two nested dictionaries differ."""
    if not (isinstance(there, Mapping) and isinstance(here, Mapping)):
        return [] if there == here else [at]
    return [
        name
        for key in sorted({*there, *here})
        for name in _differences(there.get(key), here.get(key), f"{at}.{key}" if at else key)
    ]


def _typed(name: str) -> str:
    """The key that a person types for a name in a plan's identity."""
    return PATHS.get(name, name.replace("weights.", "guidance."))
