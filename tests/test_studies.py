"""What studies make of figures, and of the data they take something away from."""

import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import media
from pipeline.models import checkpoint
from tests import tiny
from tests.studies import alignment, forwards, gates, injection, missing, pairs, study, tables, unpaired, weighting
from tests.studies.study import Variant

FIRST, SECOND = Variant("a", "x/a"), Variant("b", "x/b")


def figures(folder: Path) -> None:
    for place, values in (("x/a", [1.0, 2.0, 3.0]), ("x/b", [2.0, 3.1, 3.9])):
        for seed, value in enumerate(values):
            study.once(folder / place / str(seed) / "m.json", lambda value=value: {"loss": value})  # type: ignore[misc]


def test_figures_are_made_once(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        found = study.once(tmp_path / "a" / "m.json", lambda: made.append(1) or {"loss": 1.0})  # type: ignore[func-returns-value]
        assert found == {"loss": 1.0}
    assert len(made) == 1


def test_both_conditions_are_compared_with_the_best_one() -> None:
    assert study.apart({"f, both": 3, "f, sketch": 1, "g, both": 2}) == {
        "f, both": 3,
        "f, sketch": 1,
        "g, both": 2,
        "f, both - sketch": 2,
    }


def test_intervals_are_students(tmp_path: Path) -> None:
    low, high = study.interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2)
    assert high - 2 == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-5)
    assert study.interval([5.0]) == (5, 5)
    figures(tmp_path)
    rows = study.rows("item", study.known(tmp_path, (FIRST, SECOND), "m"))
    by = {row["variant"]: row for row in rows}
    assert [row["variant"] for row in rows] == ["a", "b", "b - a"]
    assert by["a"]["value"] == 2
    assert by["b - a"]["value"] == 1
    assert float(by["b - a"]["low"]) > 0.7  # paired by seed: far narrower than either mean's
    assert all(set(row) == {"item", "variant", "metric", "value", "low", "high", "n", "command"} for row in rows)


def test_tables_show_what_is_there_and_which_differences_are_real(tmp_path: Path) -> None:
    figures(tmp_path)
    found = study.rows("item", study.known(tmp_path, (FIRST, SECOND, Variant("c", "x/c")), "m"))
    shown = tables.table(found, types.SimpleNamespace(VARIANTS=(FIRST, SECOND), SHOWN=("loss", "nothing")))  # type: ignore[arg-type]
    assert "| a (3 seeds) | 2 |  |" in shown
    assert "| b (3 seeds) | 3 (+0.75 to +1.2) |  |" in shown
    page = tables.between("x <!-- study: i -->old<!-- /study: i --> y", "i", shown)
    assert "old" not in page
    assert page.startswith("x <!-- study: i -->")
    with pytest.raises(ValueError, match="lacks the marks"):
        tables.between("x", "i", shown)


def test_every_study_has_variants_measures_and_a_place_in_the_docs() -> None:
    page = Path("docs/training.md").read_text()
    for module in (alignment, injection, missing, weighting, unpaired, forwards):
        item = module.__name__.rpartition(".")[2]
        assert item in tables.ITEMS
        assert len({v.place for v in module.VARIANTS}) == len(module.VARIANTS)
        assert f"<!-- study: {item} -->" in page
        assert module.MEASURES


def test_rows_lose_what_they_lose_by_chance_alone(pairs_of: Path, tmp_path: Path) -> None:
    def thin(share: float, seed: int) -> list[tuple[object, object]]:
        table = pq.read_table(
            pairs.made(tmp_path / f"{share}-{seed}", pairs_of, lambda t: pairs.missing(t, share, seed))
        )
        return list(zip(table["text"].to_pylist(), table["sketch"].to_pylist(), strict=True))

    half = thin(0.5, 0)
    assert half == thin(0.5, 0) != thin(0.5, 1)
    train, held_out = half[:150], half[150:]
    gone = [(text is None, sketch is None) for text, sketch in train]
    assert 50 < sum(text for text, _ in gone) < 100
    assert 20 < sum(text and sketch for text, sketch in gone) < 60
    assert all(text and sketch for text, sketch in held_out)
    assert all(text and sketch for text, sketch in thin(0.0, 0))
    few = thin(0.25, 0)
    assert all(b[0] for a, b in zip(half, few, strict=True) if a[0])  # more missing is missing in the same rows


def test_what_is_not_kept_is_torn_in_two(pairs_of: Path) -> None:
    whole = pq.read_table(pairs_of)
    alone, both = (change(whole, 0.25, 0) for change in (pairs.kept, pairs.halves))
    train = [row for row in alone.to_pylist() if row["split"] == "train"]
    assert 20 < len(train) < 55
    assert sum(row["split"] == "test" for row in alone.to_pylist()) == 50
    assert both.slice(0, len(alone)) == alone
    rest = both.slice(len(alone)).to_pylist()
    pictures, words = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    assert len(pictures) == len(words) == 150 - len(train)
    assert {row["id"] for row in pictures} | {row["id"] for row in alone.to_pylist()} == set(whole["id"].to_pylist())
    assert all(row["image"] and not row["text"] and not row["sketch"] for row in pictures)
    assert all(row["text"] and not row["image"] and not row["sketch"] for row in words)
    assert len({row["id"] for row in both.to_pylist()}) == len(both)


def test_noise_takes_the_place_of_a_condition(pairs_of: Path, tmp_path: Path) -> None:
    noisy = pq.read_table(pairs.made(tmp_path / "a", pairs_of, pairs.noise_for_sketches))
    sketch = media.decode_sketch(noisy["sketch"][3].as_py()["bytes"], media.Bounds())
    assert 0.4 < (sketch > 127).mean() < 0.6
    wordless = pq.read_table(pairs.made(tmp_path / "b", pairs_of, pairs.noise_for_texts))
    assert wordless["text"][0].as_py() != pq.read_table(pairs_of)["text"][0].as_py()
    assert wordless["sketch"] == pq.read_table(pairs_of)["sketch"]


@pytest.fixture(scope="module")
def pairs_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = pa.Table.from_pylist(tiny.rows(200), tiny.SCHEMA)
    path = tmp_path_factory.mktemp("studies") / "pairs.parquet"
    pq.write_table(table.append_column("split", pa.array(["train"] * 150 + ["test"] * 50)), path)
    return path


def test_gates_are_asked_at_every_timestep_for_what_is_seen(pairs_of: Path) -> None:
    folder = checkpoint.fetch("starter:sketch_to_image")
    found = gates.every(folder, pq.read_table(pairs_of).slice(0, 3))
    assert found.keys() == {case.name for case in gates.CASES}
    assert set(found["alone, of the text"]) == {"text"}
    assert found["both"]["sketch"].shape == (len(gates.TIMESTEPS), 3)
    assert float(found["both"]["sketch"][-1].abs().min()) > 0.5  # it has learned to look at the sketch first
    assert gates.picture(found).startswith(b"\x89PNG")
