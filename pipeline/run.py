"""One run from its settings to its report: plan, generate what is missing, audit, report.

The same call continues a run that was interrupted: planned shards minus listed objects. If nothing is left,
neither Ray nor a model is started. Every step leaves only whole objects behind.
"""

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import attempts, audit, cluster, enrichment, ledger, preview, progress, storage
from pipeline.adopt import adopt_or_make
from pipeline.cells import variants
from pipeline.checks import check
from pipeline.ledger import Plan
from pipeline.models import checkpoint, files, labels
from pipeline.models.examine import examine
from pipeline.plan import Weights
from pipeline.settings import Generate, RunError, SettingsError
from pipeline.stages import Job

JUDGE_FROM = 100  # rows that must be done before the share of failed ones can end a run


def generate(settings: Generate) -> str:
    """Run, or continue, and return the path of the report. Raises RunError and SettingsError."""
    check(settings)
    weights = fingerprints(settings)
    finished = storage.stat_or_none(ledger.success_uri(settings.output))
    for own in () if finished else variants(settings):
        examine(own)  # before there is a plan, which would hold on to damaged weights
    plan = adopt_or_make(settings, weights)
    if settings.retry_failed:
        _retry_failed(settings.output)
    done = ledger.done(settings.output)
    todo = sorted(set(range(plan.shards)) - set(done))
    progress.say(f"plan: {plan.inputs:,} inputs, {plan.rows:,} rows, {plan.shards:,} shards, {len(todo):,} to do")
    progress.say(f"judge of all similarities: {weights[0]['judge']}")
    page = storage.join(settings.output, "report", "index.html") if plan.rows else settings.output
    if not todo and finished and (not plan.rows or storage.stat_or_none(page)):
        return page
    if settings.preview:
        first = list(_shards(settings, plan, todo[:1], weights)) if todo else []
        return preview.describe(plan, settings, first, len(todo))
    if todo:
        _execute(settings, plan, todo, weights)
    return conclude(settings, plan)


def _retry_failed(output: str) -> None:
    shards = audit.with_failures(output)
    if shards:
        ledger.reopen(output, shards)
        attempts.forgive(output, shards)
    progress.say(f"retry_failed: {len(shards):,} shards held failed rows and are done again")


def fingerprints(settings: Generate) -> tuple[Weights, ...]:
    """Content hashes of the folders of each model. Raises SettingsError if a part of a generator is the judge."""
    judge = checkpoint.fingerprint(settings.model.judge)
    others = {**enrichment.weights(settings.enrich), **labels.weights(settings.safety)}
    found = []
    for own in variants(settings):
        if part := checkpoint.part_with(own.model.path, settings.model.judge):
            raise SettingsError(
                f"model.judge={settings.model.judge} is a part of the generator {own.model.path} ({part}/), which may "
                "not mark its own work; take another"
            )
        found.append({**files.fingerprints(own.model), "judge": judge, **others})
    return tuple(found)


def conclude(settings: Generate, plan: Plan) -> str:
    """Audit the objects, write the report and then _SUCCESS."""
    from pipeline.report.page import write_report

    found = audit.audit(settings.output, plan)
    if not found.holds:
        raise RunError(f"the run is not complete: {found}; the same command goes on")
    _check_failures(settings, found.failed, found.planned, found.reasons)
    page = write_report(settings.output, plan) if plan.rows else settings.output
    audit.write_success(settings.output, found, {"fingerprints": plan.fingerprints})
    progress.say(f"audit: {found}")
    return page


def _execute(settings: Generate, plan: Plan, todo: Sequence[int], weights: Sequence[Weights]) -> None:
    ok = failed = kept = 0
    sizes = ledger.shard_sizes(settings.output, plan)
    rows_done = plan.rows - sum(sizes[shard] for shard in todo)
    with progress.bar("rows", plan.rows, rows_done) as advance:
        for row in _shards(settings, plan, todo, weights):
            ok, failed, kept = ok + row["ok"], failed + row["failed"], kept + row["kept"]
            advance(row["ok"] + row["failed"], f"{failed:,} failed" if failed else "")
            if ok + failed >= JUDGE_FROM:
                _check_failures(settings, failed, ok + failed, None)
                _check_texts(settings, kept, ok + failed)
    if kept:
        progress.say(f"enrich: {kept:,} rows kept their original text; the column enrich_error says why")


def _shards(
    settings: Generate, plan: Plan, todo: Sequence[int], weights: Sequence[Weights]
) -> Iterator[dict[str, Any]]:
    """Generate shards on Ray, one model after the other; yields the manifest row of each."""
    from pipeline import flow

    with cluster.connected(settings.cluster):
        _refuse_local_paths(settings, flow.nodes())
        pools = flow.make_pools(settings)
        try:
            with progress.watching(lambda: _waiting(flow.homeless(pools))):
                for number, (own, hashes) in enumerate(zip(variants(settings), weights, strict=True)):
                    shards = [shard for shard in todo if plan.model_of(shard) == number]
                    yield from flow.execute(Job(own, provenance(own, hashes)), shards, pools)
        except cluster.faults() as error:
            raise RunError(f"{cluster.cause(error)}; finished shards are kept, the same command goes on") from error


def _waiting(stages: str) -> str:
    return f"no node has room for {stages}: the run waits for one that has" if stages else ""


def _check_failures(settings: Generate, failed: int, done: int, reasons: Any) -> None:
    allowed = settings.failures.max_fraction
    if failed <= allowed * done:
        return
    counted = reasons or audit.reasons(settings.output)
    listed = ", ".join(f"{n:,} x {reason}" for reason, n in counted.items())
    raise RunError(
        f"{failed:,} of {done:,} rows failed, more than failures.max_fraction={allowed:g}: {listed}; "
        "see the error column below data/, or allow more"
    )


def _check_texts(settings: Generate, kept: int, done: int) -> None:
    if kept > settings.failures.max_fraction * done:
        raise RunError(
            f"{kept:,} of {done:,} rows kept their original text, more than failures.max_fraction="
            f"{settings.failures.max_fraction:g}; the column enrich_error below data/ says why; mend it, or allow more"
        )


def _refuse_local_paths(settings: Generate, nodes: int) -> None:
    """Several nodes share no local folder unless they are told to."""
    model = settings.model
    paths = [("output", settings.output), ("input.path", settings.input.path)]
    paths += [("model.path", model.path), ("model.judge", model.judge)]
    paths += [("model.vae", model.vae)] if model.vae else []
    paths += [("model.adapters", p.path) for p in model.adapters] + [("model.loras", p.path) for p in model.loras]
    paths += [("safety.classifier", settings.safety.classifier)] if settings.safety.classifier else []
    if settings.enrich.model is not None:
        paths.append(("enrich.template", settings.enrich.template))
    if settings.enrich.local:
        paths.append(("enrich.model", str(settings.enrich.model)))
    for key, uri in paths:
        if nodes > 1 and storage.is_local(uri) and not uri.startswith(storage.STARTER) and not settings.storage.shared:
            raise SettingsError(
                f"{key}={uri} is a local path, but the cluster has {nodes} nodes; "
                "use an object store, or storage.shared=true if every node sees the same folder"
            )


def provenance(settings: Generate, weights: Weights) -> dict[str, str]:
    """What every output row of one model says of how it was made."""
    packages = ("torch", "diffusers", "open_clip_torch", "ray")
    versions = {p: importlib.metadata.version(p) for p in packages}
    device = "cuda" if settings.actors.gpus_per_sampler else platform.machine()
    shape = {"device": device, "dtype": settings.model.dtype, "batch_rows": str(settings.batch_size)}
    guided = str(settings.task.options.get("guided_by", settings.guidance.scheme))
    return {**weights, **versions, **shape, "guidance": guided}
