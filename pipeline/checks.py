"""Settings that would fail hours later are refused in the first second, each in one line."""

from collections.abc import Iterator

from pipeline import enrichment, language, results, schema
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
    yield from _keep_problems(settings)
    yield from language.problems(settings.enrich, settings.num_samples)
    if settings.enrich.model is not None and enrichment.text_role(settings.task) is None:
        yield f"enrich.model is given, but no condition of task={settings.task.name} is text"
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


def _keep_problems(settings: Generate) -> Iterator[str]:
    taken = schema.output(results.of(settings.task).fields, schema.Names([], [], [], [], []), 1).names
    taken += [field.name for field in schema.TEXTS] if settings.enrich.model is not None else []
    for name in settings.input.keep:
        if name in taken:
            yield f"input.keep={name}: the output has a column of that name already"
        if settings.input.keep.count(name) > 1:
            yield f"input.keep={name} is given twice"
