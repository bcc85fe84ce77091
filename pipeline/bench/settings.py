"""Settings of jobs/bench.py."""

import dataclasses
from collections.abc import Mapping

import psutil


@dataclasses.dataclass(frozen=True)
class Bench:
    """One run of jobs/bench.py; see conf/bench.yaml."""

    output: str
    only: tuple[str, ...]  # names of rows (table.py); empty: all
    page: str | None  # a page with marks, into which the table goes
    max_load: float  # of the last minute; a busier machine is refused
    pairs: int  # A/B pairs of each ratio
    rows: int  # drawings of one timed run
    batch_size: int
    steps: int
    full_steps: int  # of the loop that the row `fast` is held against
    interval: tuple[float, float]  # sigmas in which guidance acts in the row `fast`
    weights: Mapping[str, float]  # of composed guidance
    seed: int
    engine_rows: int  # of 8 to 10 kB, through models that do nothing
    engine_shard_rows: int
    growth: tuple[int, ...]  # numbers of such rows; the first is what the others are held against

    daft: str | None  # python of an environment with Daft, for the row of that name

    @property
    def workers(self) -> int:
        """Processes that sample, and threads of loops that have one process: all cores, or a ratio would compare
        programs that were given different machines."""
        return psutil.cpu_count() or 1
