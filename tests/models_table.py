"""How far families are from their own pipelines (parity.py).

`python -m tests.models_table docs/models.json docs/models.md` writes the rows, and a table between the page's marks.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.parity import CASES, compare, schedulers

MARKS = ("<!-- parity -->", "<!-- /parity -->")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows for a page: the largest difference of each pipeline and scheduler."""
    names = list(dict.fromkeys(str(row["scheduler"]) for row in rows))
    lines = ["| family | pipeline in diffusers | adapters | " + " | ".join(names) + " | end, at most |"]
    lines += ["| --- " * (len(names) + 4) + "|"]
    for key in dict.fromkeys((row["family"], row["pipeline"], row["adapters"]) for row in rows):
        own = [row for row in rows if (row["family"], row["pipeline"], row["adapters"]) == key]
        found = {row["scheduler"]: f"{row['max_abs_diff']:.1e}" for row in own}
        end = max(float(row["end"]) for row in own)
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]} | " + " | ".join(found.get(n, "") for n in names) + f" | {end:.1e} |"
        )
    return "\n".join(lines)


def main(rows_path: str, page_path: str) -> None:
    """Write the table's rows as JSON, and the table into a page."""
    rows = [compare(case, scheduler) for case in CASES for scheduler in schedulers(case)]
    Path(rows_path).write_text(json.dumps(rows, indent=1) + "\n")
    page = Path(page_path).read_text("utf-8")
    before, _, rest = page.partition(MARKS[0])
    Path(page_path).write_text(before + MARKS[0] + "\n" + table(rows) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2])
    worst = max(rows, key=lambda row: float(row["max_abs_diff"]))
    print(f"{len(rows)} comparisons; largest difference of a step {worst['max_abs_diff']:.2g} ({worst['pipeline']})")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
