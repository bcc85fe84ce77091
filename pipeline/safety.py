"""The settings by which results are screened by a classifier, and by which their files say where they come from."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

ON_UNSAFE = ("mark", "blank", "fail")


@dataclasses.dataclass(frozen=True)
class Safety:
    """Which results are unsafe. `classifier` is None where nothing looks at them."""

    classifier: str | None  # a transformers folder, local, any fsspec URI, or hf://owner/name@revision
    unsafe: tuple[str, ...]  # those of its labels that count as unsafe
    threshold: float  # in (0, 1]: the least score that is unsafe
    on_unsafe: str  # "mark" the row | "blank" its picture as well | "fail" the row

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the verdicts, beside the classifier's content."""
        return {"unsafe": sorted(self.unsafe), "threshold": self.threshold, "on_unsafe": self.on_unsafe}

    def located(self, place: Callable[[str], str]) -> "Safety":
        """These settings with the path as `place` gives it."""
        return dataclasses.replace(self, classifier=self.classifier and place(self.classifier))


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a result's own file says of it, beside the table's row."""

    metadata: bool  # an XMP packet: made by a model, and by which, from what, as which row (provenance.py)


def problems(safety: Safety, mark: Mark, kind: str) -> Iterator[str]:
    """What is wrong with these settings for results of some kind of media, each in one line."""
    if kind != "image" and safety.classifier is not None:
        yield f"safety.classifier looks at pictures; the results of this task are of the kind {kind}"
    if kind != "image" and mark.metadata:
        yield f"mark.metadata writes into the files of pictures; the results of this task are of the kind {kind}"
    if safety.classifier is None and safety.unsafe:
        yield "safety.unsafe names labels of safety.classifier, which is not given"
    if safety.classifier is not None and not safety.unsafe:
        yield "safety.classifier needs safety.unsafe=[…], those of its labels that count as unsafe"
    if not 0 < safety.threshold <= 1:
        yield f"safety.threshold must lie in (0, 1], not {safety.threshold:g}"
    if safety.on_unsafe not in ON_UNSAFE:
        yield f"safety.on_unsafe must be one of {', '.join(ON_UNSAFE)}, not {safety.on_unsafe}"
