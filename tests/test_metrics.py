"""Metrics are declared once, counted in Ray's workers only, and shown by the dashboard under the names that exist."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from pipeline import metrics

ROOT = Path(__file__).resolve().parent.parent


def shown() -> set[str]:
    panels = json.loads((ROOT / "infra/grafana/dashboard.json").read_text())["panels"]
    expressions = [t["expr"] for p in panels for t in p.get("targets", [])]
    return {name for e in expressions for name in re.findall(r"\b(?:ray|autoscaler)_\w+(?=\{)", e)}


def test_the_dashboard_shows_metrics_that_exist() -> None:
    ours = {name for name in shown() if name.startswith("ray_pipeline_")}
    assert ours == {m.exported for m in metrics.METRICS}
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    module = Path(spec.submodule_search_locations[0]) / "dashboard/modules"
    sources = [*module.glob("metrics/dashboards/*.py"), module / "reporter/reporter_agent.py"]
    known = set(re.findall(r"\w+", "".join(p.read_text() for p in sources)))
    assert {n for n in shown() - ours if n not in known and n.removeprefix("ray_") not in known} == set()


class Recorder:
    """Stands for one of Ray's metrics."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, dict[str, str]]] = []

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.calls.append((value, tags))

    set = inc


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    found = {m.name: Recorder() for m in metrics.METRICS}
    monkeypatch.setattr(metrics, "_live", lambda m: found[m.name])
    monkeypatch.setattr(metrics, "_in_ray", lambda: True)
    return found


def test_a_shard_is_counted(recorded: dict[str, Recorder]) -> None:
    metrics.count_shard({"sample": 2.5}, ok=15, failed=0, reasons={("encode", "ValueError"): 1})
    metrics.show_gpu_memory("sample", 7)
    assert recorded["pipeline_shards"].calls == [(1, {})]
    assert recorded["pipeline_rows"].calls == [(15, {"status": "ok"})]  # none failed: nothing is added
    assert recorded["pipeline_stage_seconds"].calls == [(2.5, {"stage": "sample"})]
    assert recorded["pipeline_failures"].calls == [(1, {"stage": "encode", "kind": "ValueError"})]
    assert recorded["pipeline_gpu_memory_bytes"].calls == [(7, {"stage": "sample"})]


def test_nothing_is_counted_outside_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delattr(metrics, "_live")
    metrics.count_shard({"sample": 1.0}, ok=1, failed=1, reasons={})
