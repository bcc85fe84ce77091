import itertools
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ledger, plan, storage
from pipeline.adopt import adopt_or_make
from pipeline.ledger import Plan
from pipeline.settings import SettingsError
from tests import make, tiny

HASHES = ({"model": "m", "judge": "j"},)
Models = dict[str, str]


def planned(made: Plan, output: str) -> list[dict[str, object]]:
    return [r for shard in range(made.shards) for r in ledger.shard_rows(output, made, shard).to_pylist()]


def test_every_input_cell_and_sample_is_planned_once(models: Models, pairs: str, place: str) -> None:
    given = make.generate(models, pairs, place, "num_samples=2", "sweep.guidance.text=[1,2,4]", "shard_rows=12")
    made = adopt_or_make(given, HASHES)
    rows = planned(made, place)
    assert made.rows == len(rows) == 24 * 3 * 2
    assert made.shards == 12
    assert len({r["row_id"] for r in rows}) == len(rows)
    assert {(r["source_id"], r["cell"], r["sample_index"]) for r in rows} == {
        (f"box-{i:03d}", f"text={w}", k) for i in range(24) for w in (1, 2, 4) for k in (0, 1)
    }


def test_all_rows_of_an_input_share_a_shard_and_all_cells_their_noise(models: Models, pairs: str, place: str) -> None:
    given = make.generate(models, pairs, place, "num_samples=2", "sweep.drop=[none,text,sketch]", "shard_rows=10")
    rows = planned(adopt_or_make(given, HASHES), place)
    for source in {r["source_id"] for r in rows}:
        own = [r for r in rows if r["source_id"] == source]
        assert len({r["shard"] for r in own}) == 1
        assert len({r["seed"] for r in own}) == 2
        assert len({(r["seed"], r["sample_index"]) for r in own}) == 2


@pytest.mark.parametrize(("shard_bytes", "shards"), [(10**9, [10, 10, 4]), (1, [1] * 24), (40_000, None)])
def test_a_shard_is_bounded_in_the_bytes_of_its_inputs(
    models: Models, place: str, shard_bytes: int, shards: list[int] | None
) -> None:
    rows = tiny.rows(24)
    for row in rows[8:16]:  # two row groups of pictures of 10 kB
        row["image"] = {"bytes": os.urandom(10_000), "path": None}
    source = tiny.write(Path(place) / "in.parquet", rows)
    given = make.generate(models, str(source), place, "shard_rows=10", f"shard_bytes={shard_bytes}")
    made = adopt_or_make(given, HASHES)
    sizes = ledger.shard_sizes(place, made)
    assert sizes == [len(ledger.shard_rows(place, made, s)) for s in range(made.shards)]
    assert sum(sizes) == 24
    if shards:
        assert sizes == shards
    bounds = itertools.pairwise(itertools.accumulate(sizes, initial=0))
    taken = [sum(len(r["image"]["bytes"]) for r in rows[first:stop]) for first, stop in bounds]  # type: ignore[index]
    assert all(size <= shard_bytes or n == 1 for size, n in zip(taken, sizes, strict=True))
    assert len(sizes) < 24 or shard_bytes == 1


def test_the_second_planner_adopts_the_first_ones_plan(models: Models, pairs: str, place: str) -> None:
    given = make.generate(models, pairs, place)
    first = adopt_or_make(given, HASHES)
    before = storage.stat(ledger.plan_uri(place))
    assert adopt_or_make(given, HASHES) == first
    assert storage.stat(ledger.plan_uri(place)) == before


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("seed=1", "seed"),
        ("steps=4", "steps"),
        ("guidance.text=9", "guidance.text"),
        ("guidance.interval=[0,5]", "guidance.interval"),
        ("limit=3", "limit"),
        ("num_samples=2", "num_samples"),
        ("drop=[text]", "drop"),
        ("where='n > 3'", "where"),
        ("input.columns.image=null", "columns.image"),
    ],
)
def test_another_configuration_into_the_same_output_is_refused(
    models: Models, pairs: str, place: str, more: str, key: str
) -> None:
    adopt_or_make(make.generate(models, pairs, place), HASHES)
    with pytest.raises(SettingsError, match=key):
        adopt_or_make(make.generate(models, pairs, place, more), HASHES)


def test_other_weights_are_another_run_and_other_resources_are_not(models: Models, pairs: str, place: str) -> None:
    adopt_or_make(make.generate(models, pairs, place), HASHES)
    with pytest.raises(SettingsError, match=r"model\.path"):
        adopt_or_make(make.generate(models, pairs, place), ({**HASHES[0], "model": "other"},))
    more = ("actors.samplers=3", "failures.max_fraction=1", "preview=true", "storage.shared=true")
    adopt_or_make(make.generate(models, pairs, place, *more), HASHES)


def test_ids_depend_on_the_recipe_and_not_on_which_rows_are_taken(models: Models, pairs: str, tmp_path: Path) -> None:
    def ids(name: str, *more: str) -> dict[object, object]:
        made = adopt_or_make(make.generate(models, pairs, str(tmp_path / name), *more), HASHES)
        return {r["source_id"]: r["row_id"] for r in planned(made, str(tmp_path / name))}

    whole, part, other = ids("a"), ids("b", "where='n > 20'"), ids("c", "steps=9")
    assert part == {source: whole[source] for source in part}
    assert len(part) == 3
    assert not set(whole.values()) & set(other.values())


def test_where_and_limit_take_rows_in_source_order(models: Models, pairs: str, place: str) -> None:
    made = adopt_or_make(make.generate(models, pairs, place, "where=\"group == 'odd'\"", "limit=5"), HASHES)
    assert [r["row"] for r in planned(made, place)] == [1, 3, 5, 7, 9]


def with_ids(path: Path, ids: pa.Array) -> str:
    rows = tiny.rows(len(ids))
    table = pa.Table.from_pylist(rows, tiny.SCHEMA)
    path.mkdir(exist_ok=True)
    pq.write_table(table.set_column(0, "id", ids), path / "in.parquet")
    return str(path)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array(["a", None, "c"]), "null id in row 1"),
        (pa.array(["a", "b", "a"]), "'a' stands twice"),
        (pa.array([1.0, 2.0, float("nan")]), "floating-point"),
    ],
)
def test_ids_that_name_nothing_are_refused(models: Models, tmp_path: Path, ids: pa.Array, message: str) -> None:
    source = with_ids(tmp_path / "in", ids)
    with pytest.raises(SettingsError, match=message) as caught:
        adopt_or_make(make.generate(models, source, str(tmp_path / "out")), HASHES)
    assert "\n" not in str(caught.value)


def test_numbers_and_row_numbers_are_ids(models: Models, tmp_path: Path) -> None:
    source = with_ids(tmp_path / "in", pa.array([7, 8, 9]))
    numbered = adopt_or_make(make.generate(models, source, str(tmp_path / "a")), HASHES)
    assert [r["source_id"] for r in planned(numbered, str(tmp_path / "a"))] == ["7", "8", "9"]
    unnamed = make.generate(models, source, str(tmp_path / "b"), "input.columns.id=null")
    rows = planned(adopt_or_make(unnamed, HASHES), str(tmp_path / "b"))
    assert [r["source_id"] for r in rows] == ["in.parquet#0", "in.parquet#1", "in.parquet#2"]


def test_missing_columns_and_paths_say_what_to_do(models: Models, pairs: str, place: str) -> None:
    for more, message in {
        "input.columns.text=caption": r"no column 'caption' \(input.columns.text\); it has id, text.*null",
        "input.keep=[colour]": r"no column 'colour' \(input.keep\)",
        "where='size > 3'": r"no column 'size' \(where\)",
        "where='n > 99'": "has no row with n > 99",
        "input.path=/no/such/folder": "there is no Parquet file",
        "sweep.seed=[1,2]": "sweep.seed cannot be swept",
    }.items():
        with pytest.raises(SettingsError, match=message):
            adopt_or_make(make.generate(models, pairs, place, more), HASHES)


def test_a_long_plan_is_written_in_parts(
    models: Models, pairs: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PART_ROWS", 10)
    made = adopt_or_make(make.generate(models, pairs, place), HASHES)
    assert [(p.first, p.shards, p.rows) for p in made.parts] == [(0, 3, 12), (3, 3, 12)]
    assert [r["source_id"] for r in planned(made, place)] == [f"box-{i:03d}" for i in range(24)]


def test_cells_are_the_product_of_the_sweep(models: Models, pairs: str, place: str) -> None:
    given = make.generate(models, pairs, place, "sweep.guidance.text=[1,2]", "sweep.drop=[none,sketch]")
    cells = plan.cells(given)
    assert [c.name for c in cells] == [
        "text=1 drop=none",
        "text=1 drop=sketch",
        "text=2 drop=none",
        "text=2 drop=sketch",
    ]
    assert [c.guidance["text"] for c in cells] == [1, 1, 2, 2]
    assert [c.drop for c in cells] == [(), ("sketch",), (), ("sketch",)]
    assert [c.name for c in plan.cells(make.generate(models, pairs, place))] == [""]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("sweep.guidance.text=[1,1.0]", "two settings of the sweep are the same"),
        ("sweep.drop=[none,null]", "two settings of the sweep are the same"),
        ("sweep.guidance.text=[null]", "None is not a number"),
        ("sweep.guidance.text=[a]", "'a' is not a number"),
    ],
)
def test_a_sweep_that_would_double_rows_or_has_no_numbers_is_refused(
    models: Models, pairs: str, place: str, typed: str, answer: str
) -> None:
    with pytest.raises(SettingsError, match=answer):
        plan.cells(make.generate(models, pairs, place, typed))


@pytest.mark.parametrize("condition", ["n == 'a'", "text > 3", "n in ['a']"])
def test_a_condition_that_does_not_fit_its_columns_is_refused(
    models: Models, pairs: str, place: str, condition: str
) -> None:
    with pytest.raises(SettingsError, match="does not fit the columns"):
        adopt_or_make(make.generate(models, pairs, place, f'where="{condition}"'), HASHES)


def test_every_file_must_have_the_columns_with_the_same_types(models: Models, tmp_path: Path) -> None:
    tiny.write(tmp_path / "in" / "a.parquet", tiny.rows(2))
    other = pq.read_table(tmp_path / "in" / "a.parquet")
    pq.write_table(other.drop_columns(["sketch"]), tmp_path / "in" / "b.parquet")
    with pytest.raises(SettingsError, match=r"b.parquet has no column 'sketch'"):
        adopt_or_make(make.generate(models, str(tmp_path / "in"), str(tmp_path / "out")), HASHES)
    plain = other["sketch"].combine_chunks().field("bytes")
    pq.write_table(other.set_column(4, "sketch", plain), tmp_path / "in" / "b.parquet")
    with pytest.raises(SettingsError, match=r"b.parquet has binary in column 'sketch', but the first"):
        adopt_or_make(make.generate(models, str(tmp_path / "in"), str(tmp_path / "out")), HASHES)


def test_files_of_one_name_in_several_folders_give_different_ids(models: Models, tmp_path: Path) -> None:
    for day in (1, 2):
        tiny.write(tmp_path / "in" / f"date={day}" / "part-0.parquet", tiny.rows(1))
    for number, path in enumerate((f"{tmp_path}/in", f"{tmp_path}/in/*/part-0.parquet")):
        output = str(tmp_path / f"out{number}")
        given = make.generate(models, path, output, "input.columns.id=null")
        names = [r["source_id"] for r in planned(adopt_or_make(given, HASHES), output)]
        assert names == ["date=1/part-0.parquet#0", "date=2/part-0.parquet#0"]
