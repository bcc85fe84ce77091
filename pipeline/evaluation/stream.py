"""A run, read once into the slices of `slices.py`: pieces of it side by side on Ray, or here if it is small.

Memory does not depend on the number of rows: a piece holds BATCH_ROWS of them at a time.
"""

import functools
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pipeline import cluster, progress
from pipeline.evaluation.collect import Group, Rows, finished, read, units
from pipeline.evaluation.slices import Slices, merge, same_but_first_cell, slices
from pipeline.ledger import Plan
from pipeline.settings import Evaluate, RunError, SettingsError

BATCH_ROWS = 4096
LOCAL_ROWS = 50_000  # below, a run is read before Ray would have started
MOST_GROUPS = 500
PIECE_ROWS = 16_000  # on Ray: what a worker reads before it hands over its slices


def gather(settings: Evaluate, plan: Plan) -> Slices:
    """The slices of a finished run. Raises SettingsError for a run without results, or of too many groups."""
    bound = Bound(settings.by)
    with progress.bar("shards", len(units(plan))) as advance:
        found = merge(_counted(_pieces(settings, plan), bound, advance))
    if not found:
        raise SettingsError(f"run={settings.run} has no result to evaluate: all its rows failed; its page says why")
    return {group: found[group] for group in sorted(found, key=_order(settings.by, plan))}


class Bound:
    """Raises SettingsError when more than MOST_GROUPS have been met."""

    def __init__(self, by: Sequence[str]) -> None:
        self.by = by
        self.met: set[Group] = set()

    def meet(self, groups: Iterable[Group]) -> None:
        """Count these as well."""
        self.met.update(groups)
        if len(self.met) <= MOST_GROUPS:
            return
        values = {name: len({group[i] for group in self.met}) for i, name in enumerate(self.by)}
        widest = max(values, key=lambda name: values[name])
        raise SettingsError(
            f"by=[{','.join(self.by)}] makes more than {MOST_GROUPS} groups, and each takes some 5 MB: leave out "
            f"{widest}, which has {values[widest]:,} values so far, or group by a column that has fewer"
        )


def _counted(pieces: Iterable[tuple[Slices, int]], bound: Bound, advance: progress.Advance) -> Iterator[Slices]:
    for piece, count in pieces:
        bound.meet(piece)
        yield piece
        advance(count, "")


def _pieces(settings: Evaluate, plan: Plan) -> Iterator[tuple[Slices, int]]:
    """(slices, units) of each piece of the run."""
    every = units(plan)
    if plan.rows <= LOCAL_ROWS:
        yield of_units(settings, plan, every), len(every)
        return
    import ray

    with cluster.connected(settings.cluster):
        count = min(len(every), max(-(-plan.rows // PIECE_ROWS), int(2 * ray.cluster_resources()["CPU"])))
        bounds = [len(every) * k // count for k in range(count + 1)]
        items = [{"first": a, "last": b} for a, b in itertools.pairwise(bounds)]
        work = functools.partial(_piece, settings=settings)
        try:
            for item in ray.data.from_items(items, override_num_blocks=count).map(work).iter_rows():
                yield pickle.loads(item["slices"]), item["units"]  # noqa: S301 - it comes from our own worker
        except cluster.faults() as error:
            raise RunError(cluster.cause(error)) from error


def _piece(item: dict[str, int], settings: Evaluate) -> dict[str, Any]:
    plan = finished(settings.run)
    own = units(plan)[item["first"] : item["last"]]
    return {"slices": pickle.dumps(of_units(settings, plan, own)), "units": len(own)}


def of_units(settings: Evaluate, plan: Plan, every: Sequence[Sequence[int]]) -> Slices:
    """The slices of some units of a run."""
    cells = [cell.name for cell in plan.cells]
    baseline = functools.partial(same_but_first_cell, by=settings.by, cells=cells)
    return merge(slices(rows, baseline) for rows in _batches(_read(settings, plan, every)))


def _read(settings: Evaluate, plan: Plan, every: Sequence[Sequence[int]]) -> Iterator[Rows]:
    pieces = _good(settings, plan, every)
    if settings.features is None:
        yield from (rows for _, rows in pieces)
        return
    from pipeline.evaluation import features

    network = features.load(settings.features)
    for shards, rows in pieces:
        yield features.replaced(rows, settings.run, plan, shards, network)


def _good(settings: Evaluate, plan: Plan, every: Sequence[Sequence[int]]) -> Iterator[tuple[Sequence[int], Rows]]:
    """The units that have rows that went well."""
    bound = Bound(settings.by)
    for shards in every:
        rows = read(settings.run, plan, shards, settings.by, settings.groups)
        bound.meet(rows.groups)
        if len(rows.row_id):
            yield shards, rows


def _batches(pieces: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows in larger pieces: matrices of moments cost the same for one row as for thousands."""
    held: list[Rows] = []
    for rows in pieces:
        held.append(rows)
        if sum(len(r.row_id) for r in held) >= BATCH_ROWS:
            yield Rows.joined(held)
            held = []
    if held:
        yield Rows.joined(held)


def _order(by: Sequence[str], plan: Plan) -> Callable[[Group], Any]:
    """Cells in the order of the sweep, everything else by its name."""
    rank = {cell.name: number for number, cell in enumerate(plan.cells)}
    return lambda group: tuple(
        (rank[value], "") if name == "cell" else (0, value) for name, value in zip(by, group, strict=True)
    )
