import collections

import pyarrow as pa
import pytest

from pipeline.datasets import sample
from pipeline.settings import SettingsError


def catalogue(drawings: int) -> pa.Table:
    """Test rows: families of five tones, flags, extra flags, and drawings of three groups; as many rows of train."""
    rows = []
    for family in range(3):
        rows += [(f"t{family}-{tone}", "people", "drawings", f"t{family}", str(tone), family) for tone in range(5)]
    rows += [(f"f{i}", "flags", "flags", f"f{i}", None, 100 + i) for i in range(12)]
    rows += [(f"x{i}", "extras", "flags", f"x{i}", None, 200 + i) for i in range(12)]
    rows += [(f"d{i}", f"g{i % 3}", "drawings", f"d{i}", None, 300 + i // 2) for i in range(drawings)]
    names = ("id", "group", "slice", "base", "skin_tone", "component")
    table = pa.table({n: [r[k] for r in rows] for k, n in enumerate(names)})
    both = pa.concat_tables([table, table])
    return both.append_column("split", pa.array(["train"] * len(rows) + ["test"] * len(rows)))


def test_the_sample_has_whole_families_flags_and_every_group() -> None:
    table = catalogue(200)
    chosen = table.take(sample.choose(table)).to_pylist()
    assert len(chosen) == sample.ROWS
    assert {r["split"] for r in chosen} == {"test"}
    families = collections.Counter(r["base"] for r in chosen if r["skin_tone"])
    assert sorted(families.values())[-sample.FAMILIES :] == [5] * sample.FAMILIES
    assert sum(r["group"] == "flags" for r in chosen) == sample.FLAGS
    assert not any(r["group"] == "extras" for r in chosen)
    others = [r for r in chosen if r["id"].startswith("d")]
    assert len({r["component"] for r in others}) == len(others)
    shares = collections.Counter(r["group"] for r in others)
    assert max(shares.values()) - min(shares.values()) <= 1


def test_the_choice_is_the_same_again_and_too_few_rows_are_refused() -> None:
    assert sample.choose(catalogue(200)) == sample.choose(catalogue(200))
    with pytest.raises(SettingsError, match="only"):
        sample.choose(catalogue(10))
