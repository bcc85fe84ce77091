"""What studies found, for readers: python -m tests.studies.tables FOLDER docs/training.json docs/training.md.

Figures of an item that FOLDER holds take the place of those the JSON file had of it; each table stands between marks of
its item in the page.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tests.studies.study import Row, known, rows

ITEMS = ("alignment", "injection", "missing", "weighting", "unpaired", "forwards")


def collected(folder: Path, item: str) -> list[Row]:
    """All rows of an item, as far as its figures are there."""
    study = importlib.import_module(f"tests.studies.{item}")
    return [row for name in study.MEASURES for row in rows(item, known(folder, study.VARIANTS, name))]


def table(found: Sequence[Row], study: ModuleType) -> str:
    """Variants by metrics, those of the study's `SHOWN`; means over seeds, and the interval of each difference from the
    first variant that it tells from nothing."""
    cells = {(row["variant"], row["metric"]): row for row in found}
    first = study.VARIANTS[0].name
    lines = ["| | " + " | ".join(study.SHOWN) + " |", "| --- " * (len(study.SHOWN) + 1) + "|"]
    for variant in study.VARIANTS:
        own = [cells.get((variant.name, metric)) for metric in study.SHOWN]
        if any(own):
            apart = [cells.get((f"{variant.name} - {first}", metric)) for metric in study.SHOWN]
            shown = [f"{c['value']:.3g}{_told(a)}" if c else "" for c, a in zip(own, apart, strict=True)]
            seeds = max(int(c["n"]) for c in own if c)
            lines.append(f"| {variant.name} ({seeds} seed{'s' * (seeds > 1)}) | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _told(apart: Row | None) -> str:
    """The interval of a difference, if it does not hold 0."""
    if apart is None or float(apart["low"]) <= 0 <= float(apart["high"]):
        return ""
    return f" ({apart['low']:+.2g} to {apart['high']:+.2g})"


def main(folder: str, rows_path: str, page_path: str) -> None:
    """Write both files."""
    path = Path(rows_path)
    every: list[Row] = json.loads(path.read_text()) if path.exists() else []
    page = Path(page_path).read_text("utf-8")
    for item in ITEMS:
        found = collected(Path(folder), item)
        if found:
            every = [row for row in every if row["item"] != item] + found
            page = between(page, item, table(found, importlib.import_module(f"tests.studies.{item}")))
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in every) + "\n]\n")
    Path(page_path).write_text(page)
    print(f"{len(every)} figures of {len({row['item'] for row in every})} items")


def between(page: str, item: str, text: str) -> str:
    """The page with a text between an item's marks. Raises ValueError for a page without them."""
    opening, closing = f"<!-- study: {item} -->", f"<!-- /study: {item} -->"
    if opening not in page or closing not in page:
        raise ValueError(f"the page lacks the marks {opening} and {closing}")
    before, _, rest = page.partition(opening)
    return f"{before}{opening}\n{text}\n{closing}{rest.partition(closing)[2]}"


if __name__ == "__main__":
    main(*sys.argv[1:4])
