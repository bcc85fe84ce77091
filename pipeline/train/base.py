"""Which published checkpoints can be fine-tuned, and what may be trained of each: as conf/family has them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.conf import choice, names
from pipeline.diffusion.schedulers import FLOW, prediction_type
from pipeline.models.checkpoint import INDEX
from pipeline.models.examine import family_of
from pipeline.settings import SettingsError

KINDS = ("lora", "full", "t2i_adapter", "controlnet")
ADAPTERS = {"t2i_adapter": "T2IAdapter", "controlnet": "ControlNetModel"}  # how names of diffusers' classes end
DTYPES = ("float32", "bfloat16")  # gradients that pass through float16 would need scaling
OPTIONS = "task.options."


@dataclasses.dataclass(frozen=True)
class Base:
    """A family, and what is trained of its checkpoint."""

    backend: str  # "module:attribute"
    encoders: Mapping[str, str]  # condition -> "module:attribute"
    options: Mapping[str, Any]  # of backend and encoders
    adapter: str | None  # class in diffusers that is trained, if it is an adapter

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the input's columns that it learns from."""
        return ("text", "image", "sketch") if self.adapter else ("text", "image")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Base":
        """As stage.options say, which stand in place of options of the family that have their names.

        Raises SettingsError for what cannot be trained.
        """
        found = _family(options["family"])
        own = {key.removeprefix(OPTIONS): value for key, value in found.items() if key.startswith(OPTIONS)}
        own |= {key: options[key] for key in own if options.get(key) is not None}
        adapter = _adapter(options, own["adapters"])
        conditions = ("text", "negative", "sketch") if adapter else ("text", "negative")
        encoders = {name: found[f"task.encoders.{name}"] for name in conditions}
        return cls(found["task.backend"], encoders, own, adapter)


def check(options: Mapping[str, Any]) -> Base:
    """What stage.options ask for, with a look at the checkpoint. Raises SettingsError that says what does not fit."""
    base, model = Base.of(options), options["model"]
    if options["dtype"] not in DTYPES:
        raise SettingsError(f"stage.options.dtype must be one of {', '.join(DTYPES)}")
    if options["rank"] < 1 or options["layers"] < 1:
        raise SettingsError("stage.options.rank and stage.options.layers must be at least 1")
    if not 0 <= options["drop_text"] <= 1:
        raise SettingsError("stage.options.drop_text is a share, in [0, 1]")
    published = _read(model, INDEX).get("_class_name")
    if published not in base.options["checkpoints"]:
        instead = f"take stage.options.family={family_of(published)}" if published else "it is none that was published"
        raise SettingsError(f"stage.options.model={model} is a {published}, not of {options['family']}: {instead}")
    flow = prediction_type(_read(model, "scheduler/scheduler_config.json")) == FLOW
    if flow and options["min_snr_gamma"] is not None:
        raise SettingsError("stage.options.min_snr_gamma is of diffusion; this checkpoint was trained by flow matching")
    return base


def _read(model: str, name: str) -> dict[str, Any]:
    uri = storage.join(model, name)
    if not storage.stat_or_none(uri):
        raise SettingsError(f"stage.options.model={model} has no {name}: it is no folder in diffusers' layout")
    return dict(storage.read_json(uri))


def _family(name: str) -> Mapping[str, Any]:
    """conf/family's keys of a family that makes pictures of texts by a backend of ours."""
    families = {known: choice("family", known) for known in names("family")}
    able = [known for known, found in families.items() if f"{OPTIONS}pipeline" in found and not _edits(found)]
    if name not in able:
        raise SettingsError(f"stage.options.family={name} cannot be trained; those that can: {', '.join(able)}")
    return families[name]


def _edits(found: Mapping[str, Any]) -> bool:
    """Whether a family's network sees a picture that is to be edited."""
    return "source" in (*found.get("task.required", ()), *found.get("task.conditions", ()))


def _adapter(options: Mapping[str, Any], able: list[str]) -> str | None:
    """The class of the adapter that is trained; None: the checkpoint itself is."""
    kind = options["train"]
    if kind not in KINDS:
        raise SettingsError(f"unknown stage.options.train={kind}; known: {', '.join(KINDS)}")
    if kind not in ADAPTERS:
        return None
    for name in able:
        if name.endswith(ADAPTERS[kind]):
            return name
    raise SettingsError(f"stage.options.train={kind}: family={options['family']} takes {' and '.join(able)} alone")
