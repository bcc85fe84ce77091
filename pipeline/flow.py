"""The run as one Ray Data expression: shards -> load (-> enrich) -> encode -> sample (and safety)
-> finish and put.

One shard is one block from the first stage to the last: `from_items` with as many blocks as shards, whole
blocks as batches, and no target size at which Ray would cut them.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy
from ray.util.annotations import RayDeprecationWarning

from pipeline.patience import patiently
from pipeline.settings import Actors, Generate, SettingsError, resolve
from pipeline.stages import Job
from pipeline.stages.guard import Guard

WAVE_SHARDS = 20_000  # Ray Data slows down near 100,000 blocks
SAMPLER_CPUS = 0.7  # leaves room on a two-core machine for the light stages beside two samplers
LIGHT_CPUS = 0.05
UNGUARDED = ("load:Load", "put:Put")  # they look into no row
# Of workers that die; Ray's own defaults are endless. Looking for the row that kills a worker takes some deaths.
RESTARTS = {"max_restarts": 100, "max_task_retries": 24}


class Stage:
    """An actor. It imports its stage itself, so that the driver need not: torch and its company take seconds."""

    def __init__(self, names: Sequence[str], job: Job) -> None:
        self.steps = [_step(name, job) for name in names]

    @patiently
    def __call__(self, block: pa.Table) -> pa.Table:
        """One shard further."""
        return functools.reduce(lambda b, step: step(b), self.steps, block)


def _step(name: str, job: Job) -> Callable[[pa.Table], pa.Table]:
    stage: Callable[[pa.Table], pa.Table] = resolve(f"pipeline.stages.{name}")(job)
    return stage if name in UNGUARDED else Guard(name.partition(":")[0], stage, job)


@dataclasses.dataclass(frozen=True)
class Pool:
    """How many actors a stage has, `least` from the beginning and more as nodes join, and what each of them takes."""

    least: int
    most: int | None  # None: as many as fit
    cpus: float = LIGHT_CPUS
    gpus: float = 0.0

    def strategy(self, shards: int) -> ActorPoolStrategy:
        """As Ray Data takes it; no more actors than shards."""
        most = min(self.most or shards, shards)
        return ActorPoolStrategy(min_size=min(self.least, most), max_size=most, max_tasks_in_flight_per_actor=2)


Pools = Mapping[tuple[str, ...], Pool]  # the stages that an actor runs, in order -> the pool of these actors


def execute(job: Job, shards: Sequence[int], pools: Pools) -> Iterator[dict[str, Any]]:
    """Generate these shards; yields a row of schema.MANIFEST as each is put."""
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = None
    for start in range(0, len(shards), WAVE_SHARDS):
        yield from _wave(job, shards[start : start + WAVE_SHARDS], pools).iter_rows()


def make_pools(settings: Generate) -> Pools:
    """The pools of a run, with as many samplers as the cluster has room for if the settings do not say."""
    actors, enrich = settings.actors, settings.enrich
    most = actors.max_samplers or actors.samplers or None
    share = actors.gpus_per_enricher if enrich.local else 0.0
    enriching: Pools = {("enrich:Enrich",): Pool(actors.enrichers, actors.enrichers, gpus=share)}
    taken = math.ceil(share * actors.enrichers)
    screening = ("safety:Screen",) if settings.safety.classifier is not None else ()
    return {
        ("load:Load",): Pool(1, 1),
        **(enriching if enrich.model is not None else {}),
        ("encode:Encode",): Pool(actors.encoders, actors.encoders, gpus=actors.gpus_per_encoder),
        ("sample:Sample", *screening): Pool(sized(actors, taken), most, SAMPLER_CPUS, actors.gpus_per_sampler),
        ("finish:Finish", "put:Put"): Pool(actors.finishers, actors.finishers),
    }


def sized(actors: Actors, taken: int = 0) -> int:
    """Sampler actors to begin with: as asked, or as many as the cluster's GPUs, or CPUs, allow beside `taken` GPUs."""
    resources = ray.cluster_resources()
    if actors.autoscaling:
        if not actors.samplers:
            raise SettingsError("actors.autoscaling=true needs actors.samplers, how many there are to be at first")
        return actors.samplers
    if actors.gpus_per_sampler > resources.get("GPU", 0):
        raise SettingsError(
            f"actors.gpus_per_sampler={actors.gpus_per_sampler:g}, but the cluster has "
            f"{resources.get('GPU', 0):g} GPUs; use cluster=local to sample on CPUs"
        )
    if actors.samplers:
        return actors.samplers
    if actors.gpus_per_sampler:
        share, free = actors.gpus_per_sampler, resources["GPU"] - taken
        if taken and free < max(1, share):
            raise SettingsError(
                "the language model leaves the samplers no GPU; give actors.samplers and the GPUs of each"
            )
        return int(free * int(1 / share) if share <= 1 else free / share)
    return max(1, int(resources["CPU"]))


def _wave(job: Job, shards: Sequence[int], pools: Pools) -> ray.data.Dataset:
    source = ray.data.from_items([{"shard": s} for s in shards], override_num_blocks=len(shards))
    with warnings.catch_warnings():
        # 2.60 has no other way to bound restarts; its announced successor comes with 2.64.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        for names, pool in pools.items():
            source = source.map_batches(
                Stage,
                fn_constructor_args=(names, job),
                batch_size=None,
                batch_format="pyarrow",
                zero_copy_batch=True,
                compute=pool.strategy(len(shards)),
                num_cpus=pool.cpus,
                num_gpus=pool.gpus or None,
                **RESTARTS,
            )
    return source


def homeless(pools: Pools) -> str:
    """The stages for whose actors no node has room, even if it did nothing else; "" if there are none."""
    offered = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    found = []
    for names, pool in pools.items():
        taken = {"CPU": pool.cpus, "GPU": pool.gpus}
        if not any(all(node.get(kind, 0) >= least for kind, least in taken.items()) for node in offered):
            found.append(f"{names[0].partition(':')[0]} ({pool.cpus:g} CPUs, {pool.gpus:g} GPUs)")
    return ", ".join(found)


def nodes() -> int:
    """Nodes of the cluster that are alive."""
    return sum(node["Alive"] for node in ray.nodes())
