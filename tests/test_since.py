"""A scheduled run plans only what no earlier run of the same recipe has finished."""

from pathlib import Path

import pytest

from pipeline import audit, ledger
from pipeline.adopt import adopt_or_make
from pipeline.settings import SettingsError
from tests import make, tiny
from tests.test_plan import planned
from tests.test_stages import HASHES, bad_rows, run

Models = dict[str, str]


def sources(settings: make.Generate) -> list[object]:
    return list(dict.fromkeys(r["source_id"] for r in planned(adopt_or_make(settings, HASHES), settings.output)))


@pytest.mark.parametrize("place", ["local", "s3"], indirect=True)
def test_only_new_files_are_planned_day_after_day(models: Models, place: str, tmp_path: Path) -> None:
    rows = tiny.rows(12)
    earlier = f"new_since=['{place}/runs/*']"
    tiny.write(tmp_path / "in" / "1.parquet", rows[:4])
    first = make.generate(models, str(tmp_path / "in"), f"{place}/runs/1", earlier)
    assert sources(first) == [r["id"] for r in rows[:4]]  # on the first day the glob finds nothing
    run(first)
    tiny.write(tmp_path / "in" / "2.parquet", rows[4:8])
    second = make.generate(models, str(tmp_path / "in"), f"{place}/runs/2", earlier)
    assert sources(second) == [r["id"] for r in rows[4:8]]
    run(second)
    third = make.generate(models, str(tmp_path / "in"), f"{place}/runs/3", earlier)
    made = adopt_or_make(third, HASHES)
    assert (made.rows, made.shards) == (0, 0)
    assert audit.audit(third.output, made).holds


def test_what_changed_or_failed_or_has_another_recipe_is_new(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", bad_rows())
    before = str(tmp_path / "before")
    run(make.generate(models, str(source), before), [0])

    def again(name: str, *more: str) -> list[object]:
        return sources(make.generate(models, str(source), str(tmp_path / name), f"new_since=[{before}]", *more))

    names = [r["id"] for r in bad_rows()]
    assert again("same") == names[1:]  # row 0 went well; 1 to 3 failed; the second shard was never done
    assert again("samples", "num_samples=2") == names
    assert again("recipe", "steps=4") == names
    tiny.write(source, bad_rows()[:7])
    assert again("file") == names[:7]


def test_a_run_that_is_not_there_is_named(models: Models, pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere: no run has been there"):
        sources(make.generate(models, pairs, str(tmp_path), f"new_since=[{tmp_path}/nowhere]"))


def test_limit_counts_new_inputs(models: Models, pairs: str, tmp_path: Path) -> None:
    before, now = str(tmp_path / "before"), str(tmp_path / "now")
    run(make.generate(models, pairs, before, "limit=4"))
    assert ledger.done(before) == [0]
    found = sources(make.generate(models, pairs, now, f"new_since=[{before}]", "limit=3"))
    assert found == ["box-004", "box-005", "box-006"]
