"""A section of the page: one file that turns what was gathered into what one template shows.

`sections/<name>.html` shows `values`, and the name stands in the page's navigation; drawings and tables also land as
files below OUT/report/.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from pipeline.report.charts import Drawing
from pipeline.report.facts import Facts


@dataclasses.dataclass(frozen=True)
class Section:
    """See the module."""

    name: str
    title: str
    values: Mapping[str, Any]
    drawings: Mapping[str, Drawing] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, pa.Table] = dataclasses.field(default_factory=dict)


Make = Callable[[Facts], Section | None]  # None: there is nothing to show of this run
