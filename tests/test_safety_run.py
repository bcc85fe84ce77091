"""Whole runs on Ray whose results a classifier looks at: the three things that may follow, the page, the audit."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import audit, ledger, provenance, run
from pipeline.export import export
from pipeline.media import Bounds, decode_image, encode_webp
from pipeline.report import screened as counted
from pipeline.safety import ON_UNSAFE
from pipeline.settings import Export, SettingsError
from pipeline.stages.finish import GREY
from tests import classifiers, make
from tests.test_safety import SAME, UNSAFE, screened

Models = dict[str, str]
Runs = dict[str, tuple[list[str], str]]  # policy -> arguments, output

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def runs(models: Models, pairs: str, tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Runs:
    """A run of eight inputs for each policy; half of the results are unsafe."""
    root = tmp_path_factory.mktemp("screened")
    base = ["limit=8", f"safety.classifier={classifiers.folder(root / 'c')}", UNSAFE, "mark.metadata=true"]
    told = screened(make.generate(models, pairs, str(root / "told"), *base))
    base += [f"safety.threshold={sorted(row['safety_score'] for row in told)[4]}", "failures.max_fraction=1"]
    made = {policy: ([*base, f"safety.on_unsafe={policy}"], str(root / policy)) for policy in ON_UNSAFE}
    for given, output in made.values():
        run.generate(make.generate(models, pairs, output, *given))
    return made


def rows_of(output: str) -> dict[str, dict[str, Any]]:
    return {r["source_id"]: r for o in ledger.data_objects(output) for r in pq.read_table(o.uri).to_pylist()}


def pixels(row: dict[str, Any]) -> np.ndarray:
    return decode_image(row["image"]["bytes"], Bounds())


def shown(page: str, picture: np.ndarray) -> bool:
    return base64.b64encode(encode_webp(picture)).decode() in page


def test_the_three_policies_tell_the_same_rows_apart(runs: Runs) -> None:
    marked, blanked, failed = (rows_of(output) for _, output in runs.values())
    assert sum(row["unsafe"] for row in marked.values()) == 4
    for source, row in marked.items():
        verdict = [row[name] for name in ("unsafe", "safety_score", "safety_label", "seed")]
        for other in (blanked[source], failed[source]):
            assert [other[name] for name in ("unsafe", "safety_score", "safety_label", "seed")] == verdict
        assert row["selected"] is not row["unsafe"]
        assert blanked[source]["scores"] == row["scores"]
        assert (blanked[source]["status"], failed[source]["status"]) == ("ok", "failed" if row["unsafe"] else "ok")
        if row["unsafe"]:
            assert (pixels(blanked[source]) == GREY).all()
            assert failed[source]["image"] is None
        else:
            assert (pixels(blanked[source]) == pixels(row)).all()
            assert (pixels(failed[source]) == pixels(row)).all()
        said = provenance.read(row["image"]["bytes"])
        assert said is not None
        assert said["unsafe"] == row["unsafe"]
        assert said["provenance"]["classifier"] == row["provenance"]["classifier"]


def test_the_audit_holds_and_names_what_is_unsafe(runs: Runs) -> None:
    for policy, (_, output) in runs.items():
        told = audit.verify(output)
        assert told.startswith(f"the law holds: 8 planned, {4 if policy == 'fail' else 8} ok")
        assert ("4 x safety UnsafeError" in told) == (policy == "fail")
        assert all("safety" in ledger.shard_facts(o.uri)["seconds"] for o in ledger.data_objects(output))


def test_the_page_counts_unsafe_pictures_and_does_not_show_them(runs: Runs) -> None:
    marked = rows_of(runs["mark"][1])
    for policy, (_, output) in runs.items():
        page = Path(output, "report", "index.html").read_text()
        assert "<b>4 of 8 results are unsafe</b>" in page
        assert counted.FOLLOWS[policy] in page
        figures = json.loads(Path(output, "report", "figures.json").read_text())
        assert figures["safety"] == {"cell": "all", "looked": 8, "unsafe": 4, "share": 0.5}
        assert {shown(page, pixels(row)) for row in marked.values() if row["unsafe"]} == {False}
        assert {shown(page, pixels(row)) for row in marked.values() if not row["unsafe"]} == {True}
        assert "safety.classifier=" in page  # the command that repeats it
        assert f"safety.on_unsafe={policy}" in page or policy == "mark"


def test_an_export_leaves_unsafe_pictures_out(runs: Runs, tmp_path: Path) -> None:
    marked = {row["row_id"]: row for row in rows_of(runs["mark"][1]).values()}
    export(Export(runs["mark"][1], str(tmp_path), "webp", 10))
    assert {path.stem for path in tmp_path.iterdir()} == {name for name, row in marked.items() if not row["unsafe"]}


def test_a_second_run_has_the_same_bytes_and_another_classifier_is_refused(
    runs: Runs, models: Models, pairs: str, tmp_path: Path
) -> None:
    given, output = runs["mark"]
    run.generate(make.generate(models, pairs, str(tmp_path / "again"), *given, "actors.samplers=2"))
    one, other = rows_of(output), rows_of(str(tmp_path / "again"))
    assert [[row[name] for name in SAME] for row in one.values()] == [
        [other[source][name] for name in SAME] for source in one
    ]
    place = classifiers.folder(tmp_path / "other", (0.5, 0.2, 0.3))
    with pytest.raises(SettingsError, match="holds a run with other settings .safety.classifier"):
        run.generate(make.generate(models, pairs, output, *given, f"safety.classifier={place}"))
