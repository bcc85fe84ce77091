"""The embedded sample: few rows of the OpenMoji test split that show what a person wants to see.

Two drawings in all their skin tones and some flags, rows which share a sketch and differ by text alone; then one
drawing of a component, the groups in turn, in an order of hashes.
"""

import itertools
from collections.abc import Iterator

import pyarrow as pa

from pipeline import storage
from pipeline.seeds import digest
from pipeline.settings import Prepare, SettingsError

ROWS, FAMILIES, FLAGS = 64, 2, 8


def from_file(settings: Prepare) -> pa.Table:
    """The sample of a file that source=openmoji made."""
    with storage.open_parquet(settings.input.path) as file:
        table = file.read()
    return table.take(choose(table)).drop_columns(["component"])


def choose(table: pa.Table) -> list[int]:
    """Numbers of the chosen rows, in the table's order. Raises SettingsError if the test split is smaller than ROWS."""
    columns = ("id", "group", "slice", "base", "skin_tone", "component", "split")
    rows = [r | {"row": i} for i, r in enumerate(table.select(columns).to_pylist()) if r["split"] == "test"]
    rows.sort(key=lambda r: digest("sample", r["id"]))
    toned = list(dict.fromkeys(r["base"] for r in rows if r["skin_tone"]))[:FAMILIES]
    chosen = [r for r in rows if r["base"] in toned]
    chosen += [r for r in rows if r["slice"] == "flags" and r["group"] == "flags"][:FLAGS]
    seen = {r["component"] for r in chosen}
    chosen += itertools.islice(_in_turn(rows, seen), ROWS - len(chosen))
    if len(chosen) != ROWS:
        raise SettingsError(f"the test split has only {len(chosen)} rows to choose from, not {ROWS}")
    return sorted(int(r["row"]) for r in chosen)


def _in_turn(rows: list[dict[str, object]], seen: set[object]) -> Iterator[dict[str, object]]:
    """One row of each unseen component of drawings, from one group after the other."""
    groups: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        if row["slice"] == "drawings" and row["component"] not in seen:
            seen.add(row["component"])
            groups.setdefault(row["group"], []).append(row)
    for level in itertools.zip_longest(*(groups[g] for g in sorted(groups, key=str))):
        yield from (row for row in level if row)
