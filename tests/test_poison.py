"""Rows that raise or kill their worker, in a real run on Ray: they fail with their reason, the rest completes."""

from pathlib import Path

import pytest

from pipeline import audit, ledger, run, storage
from tests import make, tiny
from tests.saboteur import poison
from tests.test_end_to_end import results
from tests.test_stages import run as stages

Models = dict[str, str]
pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(400)]


def test_poisoned_rows_fail_and_the_rest_completes(models: Models, tmp_path: Path) -> None:
    rows = tiny.rows(6)
    good = tiny.write(tmp_path / "good.parquet", rows)
    said = {1: poison("raise", "encode"), 2: poison("kill", "score")}
    bad = tiny.write(tmp_path / "bad.parquet", [{**r, "text": said.get(i, r["text"])} for i, r in enumerate(rows)])
    plugins = ("task.encoders.text=tests.poisoned:Text", "+task.scores.poisoned=tests.saboteur:poisoned")
    more = (*plugins, "shard_rows=2", "steps=1")
    clean = make.generate(models, str(good), str(tmp_path / "clean"), *more)
    holed = make.generate(models, str(bad), str(tmp_path / "holed"), *more, "failures.max_fraction=0.5")
    stages(clean, weights=run.fingerprints(clean))  # in this process
    run.generate(holed)
    plan = ledger.load(holed.output)
    assert plan is not None
    assert audit.audit(holed.output, plan).holds
    whole, kept = results(clean.output), results(holed.output)
    same = [k for k, v in kept.items() if v["image"] is not None]
    assert len(same) == 4
    assert all(kept[k] == whole[k] for k in same)
    errors = [r["error"] for o in ledger.data_objects(holed.output) for r in read(o.uri) if r["status"] == "failed"]
    assert sorted((e["stage"], e["kind"]) for e in errors) == [
        ("encode", "ZeroDivisionError"),
        ("finish", "WorkerDied"),
    ]
    left = [o.uri for o in storage.list_objects(f"{holed.output}/attempts")]
    assert len(left) == 2
    assert all("/poisoned/" in uri for uri in left)


def read(uri: str) -> list[dict[str, dict[str, str]]]:
    with storage.open_parquet(uri) as parquet:
        found: list[dict[str, dict[str, str]]] = parquet.read(columns=["status", "error"]).to_pylist()
    return found
