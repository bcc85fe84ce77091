"""Whether a generator's folder holds what its parts need, before any actor starts: their files, classes and shapes.

Weights are not read, only the tables of contents at the beginning of safetensors files.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.conf import choice, names
from pipeline.models.checkpoint import INDEX, PICKLES, wanted
from pipeline.settings import Generate, SettingsError, resolve
from pipeline.weights import Model

# Parts that are files of their own, not weights with a config.json.
BARE = ("scheduler", "tokenizer", "feature_extractor", "image_processor")
MOST_HEADER = 100_000_000  # bytes, as safetensors itself allows
Shapes = Mapping[str, tuple[int, ...]]


def examine(settings: Generate) -> None:
    """Raises SettingsError that says what is missing, or does not fit, and what to do."""
    for problem in _problems(settings):
        raise SettingsError(problem)


def _problems(settings: Generate) -> Iterator[str]:
    model, options = settings.model, settings.task.options
    if "examined_by" in options:  # of a task whose models have a layout of their own
        yield from resolve(options["examined_by"])(settings)
        return
    if not storage.stat_or_none(storage.join(model.path, INDEX)):
        yield f"model.path={model.path} has no {INDEX}: it is no folder in diffusers' layout"
    index = storage.read_json(storage.join(model.path, INDEX))
    published = index.get("_class_name")
    yield from _family_problems(settings, published)
    files = [file.uri.removeprefix(model.path.rstrip("/")).lstrip("/") for file in storage.list_objects(model.path)]
    for part, kind in index.items():
        if isinstance(kind, list) and kind[0] in ("diffusers", "transformers"):
            yield from _part_problems(model, part, files)
    if published:  # a class is imported, which takes seconds: not for every run of our own
        for part, kind in index.items():
            if isinstance(kind, list) and kind[0] == "diffusers":
                yield from _shape_problems(storage.join(model.path, part), str(kind[1]))
        yield from _argument_problems(settings.task.options, published)
    for own in model.adapters:
        yield from _adapter_problems(own.path, settings.task.options.get("adapters", ()))


def _family_problems(settings: Generate, published: str | None) -> Iterator[str]:
    """A checkpoint of another family; conf/family says which pipelines' checkpoints (none: any) each one runs."""
    path, options = settings.model.path, settings.task.options
    if published is None:
        if "checkpoints" in options:
            yield f"model.path={path} is of family=own (its {INDEX} names no pipeline)"
    elif published not in (options.get("checkpoints", [None]) or [published]):
        yield f"model.path={path} is a {published}: take family={family_of(published)}"


def family_of(published: str) -> str:
    """The family that runs checkpoints of this pipeline."""
    runs = {name: choice("family", name).get("task.options.checkpoints", []) for name in names("family")}
    return next((name for name, classes in runs.items() if published in classes), "pipeline")


def _argument_problems(options: Mapping[str, Any], published: str) -> Iterator[str]:
    """Arguments for a pipeline that it does not take."""
    import diffusers

    given = {f"inputs.{name}": name for name, role in options.get("inputs", {}).items() if role}
    given |= {f"arguments.{name}": name for name in options.get("arguments", {})}
    if given and not hasattr(diffusers, published):
        yield f"diffusers {diffusers.__version__} has no {published}, which the checkpoint asks for"
    for key, name in given.items():
        if name not in inspect.signature(getattr(diffusers, published).__call__).parameters:
            remedy = f"say task.options.{key}=null" if key.startswith("inputs") else f"leave out task.options.{key}"
            yield f"a {published} takes no {name}; {remedy}"


def _part_problems(model: Model, part: str, files: list[str]) -> Iterator[str]:
    """A part's files."""
    own = [name for name in files if name.startswith(f"{part}/")]
    if not own:
        yield f"model.path={model.path} lacks its part {part}/"
    if part.startswith(BARE):
        return
    if f"{part}/config.json" not in own:
        yield f"{model.path}/{part} has no config.json"
    if any(name.endswith(".safetensors") for name in wanted(own)):
        return
    if not any(name.endswith(PICKLES) for name in own):
        yield f"{model.path}/{part} holds no weights"
    elif not model.trust_pickle:
        yield (
            f"{model.path}/{part} holds only pickled weights, which can execute anything: convert them to safetensors, "
            "or say model.trust_pickle=true if you trust who made them"
        )


def _adapter_problems(path: str, able: Sequence[str]) -> Iterator[str]:
    """An adapter of a class that the family cannot use."""
    config = storage.join(path, "config.json")
    if not storage.stat_or_none(config):
        yield f"model.adapters: {path} has no config.json: it is no folder in diffusers' layout"
    elif (name := storage.read_json(config).get("_class_name")) not in able:
        yield f"model.adapters: {path} is a {name}, but this family takes {' and '.join(able) or 'none'}"
    else:
        yield from _shape_problems(path, None)


def _shape_problems(folder: str, expected: str | None) -> Iterator[str]:
    """A diffusers network whose weights are not those of its config."""
    import diffusers
    from torch import nn

    path = storage.join(folder, "config.json")
    if not storage.stat_or_none(path):
        return
    config = storage.read_json(path)
    name = config.get("_class_name")
    cls = getattr(diffusers, str(name), None)
    if cls is None or not issubclass(cls, nn.Module):
        yield f"{path} names the class {name}, which diffusers does not have"
        return
    if expected is not None and name != expected:
        yield f"{path} is of a {name}, but the checkpoint's {INDEX} wants a {expected}"
    stored = shapes(folder)
    if not stored:
        return  # pickles that are trusted
    for key, shape in _built(cls, config).items():
        if key not in stored:
            yield f"{folder} lacks the weights {key} of a {name}"
        elif stored[key] != shape:
            yield f"{folder}: {key} is {list(stored[key])}, but its config.json makes it {list(shape)}"


def _built(cls: Any, config: Mapping[str, Any]) -> Shapes:
    """Shapes of a network's weights by its config, without memory for them."""
    import torch

    with torch.device("meta"):
        network = cls.from_config(config)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def shapes(folder: str) -> Shapes:
    """Shapes of all tensors in the safetensors files of a folder."""
    files = [
        f.uri for f in storage.list_objects(folder, ".safetensors") if wanted(["part/" + f.uri.rsplit("/", 1)[-1]])
    ]
    found: dict[str, tuple[int, ...]] = {}
    for uri in files:
        size = int.from_bytes(storage.read(uri, 0, 8), "little")
        if size > MOST_HEADER:
            raise SettingsError(f"{uri} is not a safetensors file")
        header = json.loads(storage.read(uri, 8, 8 + size))
        found |= {key: tuple(entry["shape"]) for key, entry in header.items() if key != "__metadata__"}
    return found
