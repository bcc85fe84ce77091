"""How many results a classifier found unsafe, by setting and by label, where one looked."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.facts import Facts
from pipeline.report.section import Section

FOLLOWS = {
    "mark": "They stand in the table as they are, are marked there, and are not shown on this page.",
    "blank": "Their pictures are grey in the table.",
    "fail": "Their rows failed, and hold no picture.",
}


def section(facts: Facts) -> Section | None:
    """Unsafe results of each cell, and the labels of all."""
    recipe = facts.plan.identity.get("safety")
    if recipe is None:
        return None
    table = facts.scores.table
    looked = table.filter(table["safety_score"].is_valid())
    cells: list[dict[str, Any]] = [
        _counted(looked.filter(pc.field("cell") == c.name), c.name) for c in facts.plan.cells
    ]
    names = looked["safety_label"].value_counts().to_pylist()
    values = {
        "recipe": recipe,
        "classifier": facts.plan.places["safety.classifier"],
        "whole": _counted(looked, "all"),
        "cells": cells,
        "labels": sorted(((n["values"], n["counts"]) for n in names), key=lambda pair: -pair[1]),
        "follows": FOLLOWS[recipe["on_unsafe"]],
    }
    return Section("safety", "What a classifier found unsafe", values, {}, {"safety": pa.Table.from_pylist(cells)})


def _counted(rows: pa.Table, name: str) -> dict[str, Any]:
    unsafe = int(np.sum(rows["unsafe"].to_numpy(), dtype=np.int64))
    return {"cell": name, "looked": len(rows), "unsafe": unsafe, "share": unsafe / len(rows) if len(rows) else 0.0}
