"""The settings by which a language model rewrites the texts that condition (pipeline/enrichment does it)."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ON_FAILURE = ("keep", "fail")
DECIDING = ("variants", "temperature", "max_tokens", "options", "on_failure")


@dataclasses.dataclass(frozen=True)
class Enrich:
    """Of one run. `model` is None where texts stay as they are."""

    model: str | None  # its name at the endpoint, or a transformers folder, local or any fsspec URI
    endpoint: str | None  # base URL of an OpenAI-compatible server, e.g. http://host:8000/v1; None: model is a folder
    template: str  # a text file in which {text} stands for the input's text
    variants: int  # texts of each input; sample k is conditioned on variant k % variants
    temperature: float  # 0: the likeliest words
    max_tokens: int  # of an answer; a longer one is a failure
    options: Mapping[str, Any]  # further fields of each request to an endpoint
    on_failure: str  # "keep" the original text | "fail" the row
    concurrency: int  # requests to an endpoint under way at a time, of each actor
    timeout: float  # seconds that an endpoint may take for one answer
    tries: int  # of a request that an endpoint does not answer, or is too busy for

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the texts, beside the contents of the model and the template. Where a server stands does not."""
        return {name: getattr(self, name) for name in DECIDING}

    @property
    def local(self) -> bool:
        """Whether the model is a folder that an actor loads."""
        return self.model is not None and self.endpoint is None

    def located(self, place: Callable[[str], str]) -> "Enrich":
        """These settings with every path as `place` gives it."""
        model = place(self.model) if self.local and self.model else self.model
        return dataclasses.replace(self, model=model, template=place(self.template))


def problems(enrich: Enrich, num_samples: int) -> Iterator[str]:
    """What is wrong with these settings, each in one line."""
    if enrich.model is None:
        if enrich.endpoint is not None:
            yield f"enrich.endpoint={enrich.endpoint} needs enrich.model, the name of a model there"
        return
    if enrich.endpoint is not None and not enrich.endpoint.startswith(("http://", "https://")):
        yield f"enrich.endpoint={enrich.endpoint} is no URL; write http://host:8000/v1"
    if enrich.local and enrich.options:
        yield "enrich.options are fields of requests; without enrich.endpoint there are none"
    yield from _ranges(enrich)
    if enrich.on_failure not in ON_FAILURE:
        yield f"enrich.on_failure must be one of {', '.join(ON_FAILURE)}, not {enrich.on_failure}"
    if enrich.variants > num_samples:
        yield f"enrich.variants={enrich.variants} needs num_samples of at least as many, not {num_samples}"
    if enrich.variants > 1 and not enrich.temperature:
        yield f"enrich.variants={enrich.variants} needs enrich.temperature above 0, or all of them are the same"


def _ranges(enrich: Enrich) -> Iterator[str]:
    """Numbers outside the range in which they mean something."""
    for name in ("variants", "max_tokens", "concurrency", "tries"):
        if getattr(enrich, name) < 1:
            yield f"enrich.{name} must be at least 1, not {getattr(enrich, name)}"
    if enrich.timeout <= 0:
        yield f"enrich.timeout must be more than 0 seconds, not {enrich.timeout:g}"
    if enrich.temperature < 0:
        yield f"enrich.temperature must be at least 0, not {enrich.temperature:g}"
