"""How the scores of all rows are spread."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.report import charts
from pipeline.report.anchors import anchors
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section

Values = NDArray[np.float32]  # [rows]
LINES = 4  # in one histogram
ROWS_IN_TABLE = 100_000  # larger runs are read from data/ itself


def section(facts: Facts) -> Section:
    """A histogram for each score that some row has, and the scores of every row as a table."""
    names = [n for n in facts.scores.names if np.isfinite(facts.scores.values(n)).any()]
    cell = facts.choice.best.name if facts.choice else facts.plan.cells[0].name
    drawings = {
        f"scores_{n}": charts.histogram(few(facts.scores.by_cell(n), cell), label(n), f"scores_{n}") for n in names
    }
    values = {
        "rows": [(n, facts.choice.best.means[n], anchors(facts, n, cell)) for n in names] if facts.choice else [],
        "cell": cell,
        "judge": facts.plan.identity["model"]["judge"],
    }
    small = facts.plan.rows <= ROWS_IN_TABLE
    return Section("scores", "Scores", values, drawings, {"rows": _rows(facts)} if small else {})


def few(by_cell: Mapping[str, Values], best: str) -> Mapping[str, Values]:
    """At most LINES sets of values: all cells, or the best one against the others together."""
    if len(by_cell) <= LINES:
        return by_cell
    others = [v for cell, v in by_cell.items() if cell != best]
    return {best: by_cell[best], f"the other {len(others)} settings": np.concatenate(others)}


def _rows(facts: Facts) -> pa.Table:
    columns = {n: facts.scores.table[n] for n in ("row_id", "source_id", "cell", "sample_index", "status")}
    for name in facts.scores.names:
        values = facts.scores.values(name)
        columns[name] = pa.array(values, mask=~np.isfinite(values))
    return pa.table(columns)
