"""Stages as plain callables, without Ray: what a block holds on its way, and that rows do not touch each other."""

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import ledger, storage
from pipeline.adopt import adopt_or_make
from pipeline.cells import variants
from pipeline.conditions import Condition
from pipeline.patience import StorageError
from pipeline.plan import Weights
from pipeline.run import fingerprints
from pipeline.settings import Generate, SettingsError
from pipeline.stages import Job, attempt
from pipeline.stages.blocks import array, column
from pipeline.stages.encode import Encode
from pipeline.stages.evidence import condition, condition_columns
from pipeline.stages.finish import Finish
from pipeline.stages.load import Load, Reader
from pipeline.stages.put import Put
from pipeline.stages.sample import Sample
from tests import make, tiny
from tests.test_media import huge_png

Models = dict[str, str]
HASHES = ({"model": "m", "judge": "j"},)
RESULT = ["row_id", "image", "embedding", "scores"]


def run(settings: Generate, shards: list[int] | None = None, weights: Sequence[Weights] | None = None) -> pa.Table:
    """All stages over some shards; the output rows."""
    made = adopt_or_make(settings, weights or HASHES)
    for number, (own, hashes) in enumerate(zip(variants(settings), fingerprints(settings), strict=True)):
        stages = [stage(Job(own, hashes)) for stage in (Load, Encode, Sample, Finish, Put)]
        for shard in range(made.shards) if shards is None else shards:
            if made.model_of(shard) == number:
                block = pa.table({"shard": pa.array([shard], pa.int32())})
                functools.reduce(lambda b, stage: stage(b), stages, block)
    return pa.concat_tables(pq.read_table(o.uri) for o in ledger.data_objects(settings.output))


def by_id(table: pa.Table, names: list[str]) -> dict[str, dict[str, object]]:
    return {r["row_id"]: r for r in table.select(names).to_pylist()}


def test_every_planned_row_comes_out_scored(models: Models, pairs: str, place: str) -> None:
    rows = run(make.generate(models, pairs, place, "num_samples=2", "limit=5")).to_pylist()
    assert len(rows) == 10
    for row in rows:
        assert row["status"] == "ok"
        assert row["error"] is None
        assert set(row["scores"]) == {"clip_text", "clip_sketch", "clip_image", "sketch_f1", "delta_e"}
        assert all(v is not None for v in row["scores"].values())
        assert row["present"] == {"text": True, "sketch": True, "image": True}
        assert row["image"]["bytes"][:4] == b"RIFF"
        assert row["guidance"] == {"text": 3.0, "sketch": 2.0, "all": None}
        assert set(row["provenance"]) == {"model", "judge", "scheduler", "steps"}
    assert len({r["image"]["bytes"] for r in rows}) == 10


def test_two_runs_are_equal_in_any_shard_order(models: Models, pairs: str, tmp_path: Path) -> None:
    one = run(make.generate(models, pairs, str(tmp_path / "a"), "limit=10"))
    other = run(make.generate(models, pairs, str(tmp_path / "b"), "limit=10"), [2, 0, 1])
    assert one.select(RESULT).equals(other.select(RESULT))


def bad_rows() -> list[dict[str, object]]:
    rows = tiny.rows(8)
    rows[1]["image"] = {"bytes": rows[1]["image"]["bytes"][:60], "path": None}  # type: ignore[index]
    rows[2]["sketch"] = {"bytes": huge_png(30_000), "path": None}
    rows[3] |= {"text": " ", "sketch": None}
    rows[5]["sketch"] = {"bytes": None, "path": "lost.png"}
    rows[6]["text"] = "x" * 20_000
    return rows


def test_bad_rows_fail_with_a_reason_and_leave_the_others_as_they_were(models: Models, tmp_path: Path) -> None:
    good = tiny.write(tmp_path / "good" / "in.parquet", tiny.rows(8))
    bad = tiny.write(tmp_path / "bad" / "in.parquet", bad_rows())
    whole = run(make.generate(models, str(good), str(tmp_path / "a"), "shard_rows=8"))
    holed = run(make.generate(models, str(bad), str(tmp_path / "b"), "shard_rows=8"))
    reasons = {r["source_id"]: r["error"] for r in holed.to_pylist() if r["status"] == "failed"}
    assert {name: (e["stage"], e["kind"]) for name, e in reasons.items()} == dict.fromkeys(
        ["box-001", "box-002", "box-003", "box-005", "box-006"], ("decode", "MediaError")
    )
    for name, words in {
        "box-001": "column 'image' is not a readable image",
        "box-002": "pixels",
        "box-003": "none of its conditions (sketch, text)",
        "box-005": "only a path ('lost.png')",
        "box-006": "20,000 characters",
    }.items():
        assert words in reasons[name]["message"]
    kept = by_id(holed.filter(pa.compute.equal(holed["status"], "ok")), RESULT)
    assert len(kept) == 3
    assert kept == {k: v for k, v in by_id(whole, RESULT).items() if k in kept}


def test_a_missing_modality_is_no_failure(models: Models, tmp_path: Path) -> None:
    rows = tiny.rows(4)
    rows[0]["sketch"], rows[1]["text"], rows[2]["image"] = None, None, None
    source = tiny.write(tmp_path / "in.parquet", rows)
    out = run(make.generate(models, str(source), str(tmp_path / "out"))).to_pylist()
    assert [r["status"] for r in out] == ["ok"] * 4
    assert [r["present"] for r in out] == [
        {"text": t, "sketch": s, "image": i}
        for t, s, i in [(True, False, True), (False, True, True), (True, True, False), (True,) * 3]
    ]
    assert out[0]["scores"]["sketch_f1"] is None
    assert out[1]["scores"]["clip_text"] is None
    assert out[2]["scores"]["delta_e"] is None


def test_a_dropped_modality_is_withheld_and_still_scored(models: Models, pairs: str, tmp_path: Path) -> None:
    swept = run(make.generate(models, pairs, str(tmp_path / "a"), "limit=2", "sweep.drop=[none,text]", "shard_rows=8"))
    rows = {(r["source_id"], r["cell"]): r for r in swept.to_pylist()}
    assert rows["box-000", "drop=text"]["scores"]["clip_text"] is not None
    assert rows["box-000", "drop=text"]["image"] != rows["box-000", "drop=none"]["image"]


def test_a_score_that_raises_fails_its_row_alone(models: Models, pairs: str, tmp_path: Path) -> None:
    more = ["limit=4", "++task.scores.mine=tests.test_stages:fussy"]
    rows = run(make.generate(models, pairs, str(tmp_path), *more)).to_pylist()
    assert [r["status"] for r in rows] == ["ok", "failed", "ok", "ok"]
    assert rows[1]["error"] == {"stage": "score", "kind": "ZeroDivisionError", "message": "not green"}
    assert rows[0]["scores"]["mine"] == 1.0


def fussy(sample: object) -> float:
    """A user's score that cannot bear green."""
    if "green" in sample.inputs["text"]:  # type: ignore[attr-defined]
        raise ZeroDivisionError("not green")
    return 1.0


def test_columns_pass_through_on_request(models: Models, pairs: str, place: str) -> None:
    rows = run(make.generate(models, pairs, place, "input.keep=[group,n]", "limit=3", "num_samples=2")).to_pylist()
    assert [(r["group"], r["n"]) for r in rows] == [
        ("even", 0),
        ("even", 0),
        ("odd", 1),
        ("odd", 1),
        ("even", 2),
        ("even", 2),
    ]


def test_a_second_put_changes_nothing(models: Models, pairs: str, place: str) -> None:
    settings = make.generate(models, pairs, place, "limit=4")
    run(settings)
    before = storage.stat(ledger.shard_uri(place, 0))
    run(settings)
    assert storage.stat(ledger.shard_uri(place, 0)) == before


def test_an_input_that_changed_since_it_was_planned_is_refused(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", tiny.rows(4))
    settings = make.generate(models, str(source), str(tmp_path / "out"))
    adopt_or_make(settings, HASHES)
    tiny.write(source, tiny.rows(5))
    with pytest.raises(StorageError, match="has changed since it was planned"):
        run(settings)


@pytest.mark.parametrize("group_rows", [1, 3, 8, 100])
def test_the_reader_gives_any_rows_and_reads_each_group_once(tmp_path: Path, group_rows: int) -> None:
    source = tiny.write(tmp_path / "in.parquet", tiny.rows(20), group_rows)
    reader = Reader(storage.stat(str(source)), {"text": "text", "n": "n"})
    for numbers in ([0, 1, 2], [3, 7], [8, 9, 10, 19]):
        assert reader.rows(numbers)["n"].to_pylist() == numbers
    assert reader.groups_read <= -(-20 // group_rows)
    assert reader.rows([0, 19])["n"].to_pylist() == [0, 19]  # going back costs a second reading, and works


def test_tensors_survive_arrow() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    table = pa.table({"x": column(values), "flag": column(np.array([[True], [False]])), "one": column(np.arange(2))})
    assert (array(table, "x") == values).all()
    assert array(table, "flag").tolist() == [[1], [0]]
    assert array(table, "one").tolist() == [0, 1]


def test_conditions_survive_arrow() -> None:
    made = Condition(
        tokens=torch.randn(2, 3, 4),
        mask=torch.tensor([[True, True, False], [True, False, False]]),
        pooled=torch.randn(2, 5),
        maps=tuple(torch.randn(2, 1, s, s) for s in (4, 2)),
        present=torch.tensor([True, False]),
    )
    back = condition(pa.table(condition_columns("sketch", made)), "sketch")
    for a, b in zip(
        [made.tokens, made.mask, made.pooled, made.present, *made.maps],
        [back.tokens, back.mask, back.pooled, back.present, *back.maps],
        strict=True,
    ):
        assert torch.equal(a, b)


def test_only_the_rows_own_work_may_fail_it() -> None:
    assert attempt("decode", "x", lambda: 3) == (3, None)
    assert attempt("decode", "column 'a'", lambda: int("no"))[1] == {
        "stage": "decode",
        "kind": "ValueError",
        "message": "column 'a' invalid literal for int() with base 10: 'no'",
    }
    with pytest.raises(KeyboardInterrupt):
        attempt("decode", "x", _interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_column_may_be_a_role_and_kept_and_be_two_roles(models: Models, pairs: str, place: str) -> None:
    settings = make.generate(
        models, pairs, place, "input.keep=[text]", "input.columns.image=sketch", "limit=2", "shard_rows=2"
    )
    run(settings)
    rows = pq.read_table(ledger.shard_uri(place, 0)).to_pylist()
    assert [r["text"] for r in rows] == [str(r["text"]) for r in tiny.rows(2)]
    assert [r["status"] for r in rows] == ["ok", "ok"]


def test_weights_that_changed_since_the_plan_are_refused(models: Models, pairs: str, tmp_path: Path) -> None:
    shutil.copytree(models["path"], tmp_path / "model")
    settings = make.generate({**models, "path": str(tmp_path / "model")}, pairs, str(tmp_path / "out"))
    job = Job(settings, fingerprints(settings)[0])
    adopt_or_make(settings, HASHES)
    weights = next((tmp_path / "model" / "unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # the same size
    weights.write_bytes(bytes(data))
    os.utime(weights, (2**31, 2**31))
    for stage in (Encode, Sample):
        with pytest.raises(StorageError, match="has changed since the run was planned"):
            stage(job)


def test_a_model_may_not_mark_its_own_work(models: Models, pairs: str, place: str) -> None:
    with pytest.raises(SettingsError, match=r"is a part of the generator .* \(clip/\)"):
        fingerprints(make.generate({**models, "judge": models["clip"]}, pairs, place))
