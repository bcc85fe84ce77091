"""Texts rewritten by a language model, each asked for once: what is asked, what may come back, and by what it is known.

A text is known by its key, a hash of all that decides it: the model, the template, the sampling, the run's seed, the
original and the number of the variant. A server that is down or busy is a fault of the run; an answer that cannot be
used is the text's own, a `RefusalError`.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Protocol

from pipeline import storage
from pipeline.kinds import decode_text
from pipeline.language import Enrich
from pipeline.models import checkpoint
from pipeline.seeds import digest
from pipeline.settings import SettingsError, Task

PLACE = "{text}"  # of the original in a template


class RefusalError(ValueError):
    """What a language model did not do with one text; the message says why."""


@dataclasses.dataclass(frozen=True)
class Ask:
    """One prompt, and the seed of its answer."""

    prompt: str
    seed: int  # in [0, 2**31)


class Language(Protocol):
    """A language model."""

    def __call__(self, asks: Sequence[Ask]) -> list[str | RefusalError]:
        """An answer to each. Raises StorageError if it cannot be reached, RunError if it is not the right one."""


@dataclasses.dataclass(frozen=True)
class Template:
    """What a model is asked to do with a text."""

    content: str

    @classmethod
    def read(cls, uri: str) -> "Template":
        """The template of a file. Raises SettingsError for one that has no place for a text."""
        content = storage.read(uri).decode("utf-8", "replace").strip()
        if PLACE not in content:
            raise SettingsError(f"enrich.template={uri} does not hold {PLACE}, where the input's text goes")
        return cls(content)

    @property
    def fingerprint(self) -> str:
        """Hash of its content."""
        return digest("template", self.content).hex()

    def prompt(self, text: str) -> str:
        """The template with a text in it, whatever braces that text holds."""
        return self.content.replace(PLACE, text)


def text_role(task: Task) -> str | None:
    """The role of the text that is enriched: the first condition that is text; None where a task has none."""
    return next((role for role in task.conditions if task.roles[role] == "text"), None)


def weights(enrich: Enrich) -> dict[str, str]:
    """What names the language model and the template in a recipe and in each row's provenance; nothing without a model.

    Raises SettingsError for a folder or a template that is not there or cannot be used.
    """
    if enrich.model is None:
        return {}
    template = Template.read(enrich.template).fingerprint
    if not enrich.local:
        return {"language": enrich.model, "template": template}
    if not storage.list_objects(enrich.model, ".safetensors"):
        raise SettingsError(
            f"enrich.model={enrich.model} holds no .safetensors; give a transformers folder, or enrich.endpoint="
        )
    return {"language": checkpoint.fingerprint(enrich.model), "template": template}


def key(recipe: str, text: str, variant: int) -> str:
    """Name of one enriched text, 32 hex digits; `recipe` is all that decides it beside the original."""
    return digest("enriched", recipe, text, variant).hex()


def recipe(enrich: Enrich, names: dict[str, str], run_seed: int) -> str:
    """What decides all texts of a run; `names` are those of `weights`."""
    decides = ("temperature", "max_tokens", "options")
    return json.dumps({**{n: enrich.recipe[n] for n in decides}, **names, "seed": run_seed}, sort_keys=True)


def seed(key: str) -> int:
    """Seed of the answer with that key, in [0, 2**31), which every server takes."""
    return int(key[:8], 16) >> 1


def usable(answer: str) -> str | RefusalError:
    """An answer as a text that conditions, or why it is none."""
    try:
        found = decode_text(answer.encode("utf-8", "replace").decode())  # a lone surrogate has no place in a table
    except ValueError as error:
        return RefusalError(f"an answer that {error}")
    return found or RefusalError("an empty answer")
