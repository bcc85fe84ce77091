"""The settings by which a classifier judges whether results are safe to show (stages/safe.py asks it)."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

ON_UNSAFE = ("mark", "fail")


@dataclasses.dataclass(frozen=True)
class Safety:
    """Of one run. `classifier` is None where nothing is judged."""

    classifier: str | None  # a transformers folder for image classification, local, any fsspec URI, or hf://
    unsafe: tuple[str, ...]  # labels of it that are unsafe
    threshold: float  # probability of them from which a result is unsafe
    on_unsafe: str  # "mark" the row | "fail" it, so that its result is not stored

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the verdicts, beside the content of the classifier."""
        return {name: getattr(self, name) for name in ("unsafe", "threshold", "on_unsafe")}

    def located(self, place: Callable[[str], str]) -> "Safety":
        """These settings with the path as `place` gives it."""
        return dataclasses.replace(self, classifier=self.classifier and place(self.classifier))


def problems(safety: Safety) -> Iterator[str]:
    """What is wrong with these settings, each in one line."""
    if safety.classifier is None:
        if safety.unsafe:
            yield "safety.unsafe names labels, but no safety.classifier is given"
        return
    if not safety.unsafe:
        yield "safety.classifier needs safety.unsafe=[…], the labels of it that are unsafe"
    if not 0 < safety.threshold < 1:
        yield f"safety.threshold must lie between 0 and 1, not {safety.threshold:g}"
    if safety.on_unsafe not in ON_UNSAFE:
        yield f"safety.on_unsafe must be one of {', '.join(ON_UNSAFE)}, not {safety.on_unsafe}"
