"""Settings that would fail hours later are refused in the first second, each in one line."""

from collections.abc import Iterator
from typing import Any

from pipeline import enrichment, language, results, safety, schema
from pipeline.cells import cells
from pipeline.diffusion.schedulers import scheduler_class
from pipeline.kinds import KINDS
from pipeline.settings import Generate, SettingsError

DTYPES = ("float32", "bfloat16", "float16")


def check(settings: Generate) -> None:
    """Raises SettingsError for the first setting that cannot be used."""
    for problem in _problems(settings):
        raise SettingsError(problem)
    for cell in cells(settings):
        scheduler_class(cell.scheduler)
        if cell.steps < 1:
            raise SettingsError(f"steps must be at least 1, not {cell.steps}")
        if unknown := sorted(set(cell.drop) - set(settings.task.conditions)):
            raise SettingsError(f"drop={unknown[0]}: the task's conditions are {', '.join(settings.task.conditions)}")


def _problems(settings: Generate) -> Iterator[str]:
    yield from _ranges(settings)
    if settings.model.dtype not in DTYPES:
        yield f"model.dtype must be one of {', '.join(DTYPES)}, not {settings.model.dtype}"
    for role, kind in settings.task.roles.items():
        if kind not in KINDS:
            yield f"task.roles.{role}={kind} is no kind of media; known: {', '.join(KINDS)}"
    for key in ("task.best_by", "select.by"):
        score = getattr(getattr(settings, key.split(".")[0]), key.split(".")[1])
        if score.removeprefix("-") not in settings.task.scores:
            yield f"{key}={score} is none of the task's scores: {', '.join(settings.task.scores)}"
    yield from _model_problems(settings)
    yield from _hold_problems(settings.task.options.get("hold"))
    yield from _keep_problems(settings)
    yield from language.problems(settings.enrich, settings.num_samples)
    if settings.enrich.model is not None and enrichment.text_role(settings.task) is None:
        yield f"enrich.model is given, but no condition of task={settings.task.name} is text"
    yield from safety.problems(settings.safety, settings.mark, results.of(settings.task).kind)
    if settings.preview and settings.retry_failed:
        yield "retry_failed=true removes shards, which preview=true must not do; give one of them"
    for key, values in settings.sweep.items():
        if not values:
            yield f"sweep.{key} needs at least one value"


def _ranges(settings: Generate) -> Iterator[str]:
    """Numbers outside the range in which they mean something."""
    for key in ("num_samples", "batch_size", "shard_rows", "shard_bytes"):
        if getattr(settings, key) < 1:
            yield f"{key} must be at least 1, not {getattr(settings, key)}"
    for key, most in (("limit", settings.limit), ("select.top_k", settings.select.top_k)):
        if most is not None and most < 1:
            yield f"{key} must be at least 1, or null for all, not {most}"
    actors = settings.actors
    if actors.max_samplers is not None and actors.max_samplers < max(1, actors.samplers):
        yield f"actors.max_samplers must be at least {actors.samplers or 1}, not {actors.max_samplers}"
    if not 0 <= settings.failures.max_fraction <= 1:
        yield f"failures.max_fraction must lie between 0 and 1, not {settings.failures.max_fraction:g}"
    if settings.failures.time_limit <= 0:
        yield f"failures.time_limit must be more than 0 seconds, not {settings.failures.time_limit:g}"
    if settings.guidance.interval and settings.guidance.interval[0] >= settings.guidance.interval[1]:
        yield "guidance.interval=[lo,hi] needs lo < hi; both are values of sigma"


def _model_problems(settings: Generate) -> Iterator[str]:
    """Parts of a model that its family cannot use, or lacks."""
    task, adapters = settings.task, settings.model.adapters
    adapted = task.options.get("adapted")  # the condition that adapters serve
    if adapters and adapted not in task.conditions:
        yield f"model.adapters serve no condition of task={task.name}" + (
            f"; take 'task.conditions=[{adapted},{','.join(task.conditions)}]'" if adapted else " with family=own"
        )
    if adapted in task.conditions and not adapters:
        rest = ",".join(m for m in task.conditions if m != adapted)
        yield f"the condition {adapted} needs model.adapters=[…]; without them take 'task.conditions=[{rest}]'"
    if task.options.get("guided_by") and settings.guidance.scheme != "none":
        yield "the checkpoint's own pipeline guides by itself: take guidance=none (its scale: task.options.arguments)"
    if settings.model.loras and adapted is None and not task.options.get("guided_by"):
        yield "model.loras are for published checkpoints; say which with family="
    if not 0 < float(task.options.get("strength", 1)) <= 1:
        yield f"task.options.strength must lie in (0, 1], not {task.options['strength']}"


def _hold_problems(hold: Any) -> Iterator[str]:
    """Parts of a dance that cannot be kept."""
    if hold is None:
        return
    spans = [] if hold["frames"] is None else hold["frames"]
    if not isinstance(spans, list | tuple) or not all(_is_span(span) for span in spans):
        yield f"task.options.hold.frames={spans} must be a list of [first second, last second], or null for all"
    if not isinstance(hold["fade"], int | float) or hold["fade"] < 0:
        yield f"task.options.hold.fade must be seconds, 0 or more, not {hold['fade']}"


def _is_span(span: Any) -> bool:
    return isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(x, int | float) for x in span)


def _keep_problems(settings: Generate) -> Iterator[str]:
    taken = schema.output(results.of(settings.task).fields, schema.Names([], [], [], [], []), 1).names
    taken += [field.name for field in schema.TEXTS] if settings.enrich.model is not None else []
    taken += [field.name for field in schema.SAFETY] if settings.safety.classifier is not None else []
    for name in settings.input.keep:
        if name in taken:
            yield f"input.keep={name}: the output has a column of that name already"
        if settings.input.keep.count(name) > 1:
            yield f"input.keep={name} is given twice"
