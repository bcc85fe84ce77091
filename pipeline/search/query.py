"""What is searched for: a text, a picture, a sketch or music, embedded by the judge of the run, or a row of the run."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import ledger, media, results, storage
from pipeline.evaluation import judge
from pipeline.kinds import KINDS
from pipeline.ledger import Plan
from pipeline.settings import Search, SettingsError

MEDIA = ("text", "image", "sketch", "audio")  # keys of the settings, each the kind of media of its value
ROW = "row"


@dataclasses.dataclass(frozen=True)
class Query:
    """A query in the judge's space."""

    kind: str  # one of MEDIA, or "row"
    given: str  # as it was typed: the text, the file's name, the row's id
    vector: NDArray[np.float16]  # [E], rounded as the stored ones are
    shown: Any  # the cell of a medium, the output's columns of a row's result as a table; None for a text


def read(settings: Search, plan: Plan) -> Query:
    """The one query that the settings hold. Raises SettingsError for none or several, and for unusable ones."""
    given = {kind: value for kind in (*MEDIA, ROW) if (value := getattr(settings, kind)) is not None}
    if len(given) != 1:
        said = f", not {' and '.join(f'{kind}=' for kind in given)}" if given else ""
        raise SettingsError(f"give one of {', '.join(f'{kind}=' for kind in (*MEDIA, ROW))}{said}")
    [(kind, value)] = given.items()
    return _stored(settings.run, plan, value) if kind == ROW else _embedded(settings.judge, plan, kind, value)


def _stored(run: str, plan: Plan, row_id: str) -> Query:
    """The result of a row, by its stored embedding: no model is loaded."""
    columns = [field.name for field in results.of(plan.task).fields]
    for shard, planned in ledger.planned(run, plan):
        if pc.index(planned["row_id"], row_id).as_py() >= 0:
            with storage.open_parquet(ledger.shard_uri(run, shard)) as parquet:
                table = parquet.read(columns=["row_id", "embedding", *columns])
            row = table.filter(pc.field("row_id") == row_id)
            vector = row["embedding"][0].as_py()
            if vector is None:
                raise SettingsError(f"row={row_id} failed in this run: it has no result to search with")
            return Query(ROW, row_id, np.array(vector, np.float16), row.select(columns))
    raise SettingsError(f"row={row_id} is not a row of this run; take a row_id of its output")


def _embedded(named: str | None, plan: Plan, kind: str, value: str) -> Query:
    """A medium from outside, decoded within bounds and embedded as the inputs of the run were."""
    known = {*plan.task.roles.values(), results.of(plan.task).kind}
    if kind not in known:
        raise SettingsError(f"{kind}= cannot be compared in this run; its media are {', '.join(sorted(known))}")
    own = judge.load(plan, named)
    raw: Any = value if kind == "text" else storage.read(value)
    try:
        decoded = KINDS[kind].decode(raw)
    except media.MediaError as error:
        raise SettingsError(f"{kind}={value} {error}") from error
    if decoded is None:
        raise SettingsError(f"{kind}={value} is empty")
    vector = own.embed(kind, [decoded])[0].numpy().astype(np.float16)
    return Query(kind, value, vector, None if kind == "text" else raw)
