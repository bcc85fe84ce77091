from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import audit, ledger, preview, storage
from pipeline.adopt import adopt_or_make
from pipeline.run import _retry_failed
from pipeline.settings import RunError
from tests import make
from tests.test_stages import HASHES, bad_rows, run
from tests.tiny import rows, write

Models = dict[str, str]


def test_the_law_holds_after_a_whole_run(models: Models, pairs: str, place: str) -> None:
    settings = make.generate(models, pairs, place, "limit=10")
    run(settings)
    found = audit.audit(place, adopt_or_make(settings, HASHES))
    assert found.holds
    assert str(found) == "10 planned, 10 ok, 0 failed"


def test_what_is_missing_failed_doubled_or_foreign_is_found(models: Models, tmp_path: Path) -> None:
    source, place = write(tmp_path / "in.parquet", bad_rows()), str(tmp_path / "out")
    settings = make.generate(models, str(source), place)
    run(settings, [0])
    plan = adopt_or_make(settings, HASHES)
    part = audit.audit(place, plan)
    assert (part.ok, part.failed, part.missing, part.holds) == (1, 3, 4, False)
    assert part.reasons == {"decode MediaError": 3} == audit.reasons(place)
    run(settings, [1])
    assert audit.audit(place, plan).holds
    shard = Path(ledger.shard_uri(place, 1))
    table = pq.read_table(shard)
    for broken in (table.slice(0, 3), table.take([0, 1, 2, 2]), pq.read_table(ledger.shard_uri(place, 0))):
        pq.write_table(broken, shard)
        found = audit.audit(place, plan)
        assert not found.holds
        assert "shard 1 does not hold exactly its planned rows" in str(found)
    pq.write_table(table, shard)
    storage.put(ledger.shard_uri(place, 2), shard.read_bytes())
    assert "unplanned object 00000002.parquet" in str(audit.audit(place, plan))


def test_verify_tells_whether_the_law_holds(models: Models, pairs: str, place: str) -> None:
    with pytest.raises(RunError, match="holds no run"):
        audit.verify(place)
    settings = make.generate(models, pairs, place, "limit=8")
    run(settings, [0])
    with pytest.raises(
        RunError, match="is not finished: 8 planned, 4 ok, 0 failed, 4 missing; the run's own command goes on"
    ):
        audit.verify(place)
    run(settings, [1])
    assert audit.verify(place).splitlines() == [
        "the law holds: 8 planned, 8 ok, 0 failed; _SUCCESS is still to be written, the run's own command does it",
        place,
    ]


def test_failed_shards_are_opened_again(models: Models, tmp_path: Path) -> None:
    source, place = write(tmp_path / "in.parquet", [*bad_rows(), *rows(12)[8:]]), str(tmp_path / "out")
    settings = make.generate(models, str(source), place)
    run(settings)
    found = audit.audit(place, adopt_or_make(settings, HASHES))
    audit.write_success(place, found, {})
    assert audit.with_failures(place) == [0, 1]
    _retry_failed(place)
    assert ledger.done(place) == [2]
    assert not storage.stat_or_none(ledger.success_uri(place))
    _retry_failed(place)  # nothing left to take back
    run(settings, [0, 1])
    assert audit.audit(place, adopt_or_make(settings, HASHES)) == found


def test_success_is_written_once(models: Models, pairs: str, place: str) -> None:
    settings = make.generate(models, pairs, place, "limit=4")
    run(settings)
    found = audit.audit(place, adopt_or_make(settings, HASHES))
    audit.write_success(place, found, {"fingerprint": "x"})
    assert storage.read_json(ledger.success_uri(place))["ok"] == 4


def test_a_preview_counts_without_reading_media(models: Models, tmp_path: Path) -> None:
    rows = bad_rows()
    rows[0]["text"] = None
    source = write(tmp_path / "in.parquet", rows)
    settings = make.generate(models, str(source), str(tmp_path / "out"), "num_samples=2")
    plan = adopt_or_make(settings, HASHES)
    assert preview.missing(plan, settings) == {"text": 1, "sketch": 2, "image": 0}
    run(settings, [0])
    made = {"shard": 0, "ok": 2, "failed": 2, "bytes": 4000}
    text = preview.describe(plan, settings, [made], 3)
    assert "8 inputs x 1 cells x 2 samples = 16 rows in 4 shards, 3 of them to do" in text
    assert "2 rows without sketch" in text
    assert "one shard of 4 rows took encode" in text
    assert "output: about 0.0 MB" in text


@pytest.mark.parametrize("column", ["image", "sketch"])
def test_preview_without_a_column(models: Models, pairs: str, tmp_path: Path, column: str) -> None:
    settings = make.generate(models, pairs, str(tmp_path), f"input.columns.{column}=null")
    assert preview.missing(adopt_or_make(settings, HASHES), settings)[column] == 24
