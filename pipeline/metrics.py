"""What a run says of itself while it goes on, for Prometheus: every metric is declared here once.

Ray exports them on each node with the prefix `ray_`, and counters with the suffix `_total`
(infra/grafana/dashboard.json shows them). Outside of Ray, as in a test of one stage, nothing is counted.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Metric:
    """Name, meaning and tags of one metric."""

    kind: str  # "Counter" | "Gauge", a class of ray.util.metrics
    name: str
    description: str
    tags: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name under which Prometheus finds it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "Counter" else "")


ROWS = Metric("Counter", "pipeline_rows", "Planned rows that are put, ok or failed", ("status",))
FAILURES = Metric("Counter", "pipeline_failures", "Failed rows by the stage and kind of their error", ("stage", "kind"))
STAGE_SECONDS = Metric("Counter", "pipeline_stage_seconds", "Seconds that actors of a stage were at work", ("stage",))
SHARDS = Metric("Counter", "pipeline_shards", "Shards that are put")
GPU_MEMORY = Metric("Gauge", "pipeline_gpu_memory_bytes", "Most memory that torch held on a stage's GPU", ("stage",))
METRICS = (ROWS, FAILURES, STAGE_SECONDS, SHARDS, GPU_MEMORY)


def count_shard(seconds: Mapping[str, float], ok: int, failed: int, reasons: Mapping[tuple[str, str], int]) -> None:
    """Count a shard that this process has put: seconds by stage, its rows, and its failed rows by (stage, kind)."""
    _add(SHARDS, 1)
    _add(ROWS, ok, status="ok")
    _add(ROWS, failed, status="failed")
    for stage, spent in seconds.items():
        _add(STAGE_SECONDS, spent, stage=stage)
    for (stage, kind), rows in reasons.items():
        _add(FAILURES, rows, stage=stage, kind=kind)


def show_gpu_memory(stage: str, peak: int) -> None:
    """Show the most bytes that torch has held on this process's GPU (torch.cuda.max_memory_allocated())."""
    if _in_ray():
        _live(GPU_MEMORY).set(peak, tags={"stage": stage})


def _add(metric: Metric, value: float, **tags: str) -> None:
    if value > 0 and _in_ray():  # Ray refuses to add nothing
        _live(metric).inc(value, tags=tags)


def _in_ray() -> bool:
    ray = sys.modules.get("ray")  # a process that has not imported Ray is not one of its workers
    return ray is not None and ray.is_initialized()


@functools.cache
def _live(metric: Metric) -> Any:
    """Ray's object for a metric: one for each process, made only after Ray has started."""
    from ray.util import metrics

    return getattr(metrics, metric.kind)(metric.name, metric.description, metric.tags)
