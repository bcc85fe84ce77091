"""One search from its settings to its page: query, search, the rows that were found with their inputs."""

import time
from collections.abc import Sequence

from pipeline import ledger, progress
from pipeline.evaluation.collect import finished
from pipeline.kinds import judged
from pipeline.ledger import Plan
from pipeline.search import approximate, exact, query
from pipeline.search.exact import Found
from pipeline.search.hits import Hit, hits
from pipeline.search.page import write
from pipeline.search.query import Query
from pipeline.search.stored import RESULT, Space
from pipeline.settings import Search, SettingsError
from pipeline.storage import Stored

INDEXES = ("faiss",)
TEXT_WIDTH = 60  # characters of a text in the table


def search(settings: Search) -> str:
    """Search, write the page and the same as JSON; a table and the page's path. Raises SettingsError."""
    plan = finished(settings.run)
    _check(settings, plan)
    asked = query.read(settings, plan)
    objects = ledger.data_objects(settings.run)
    began = time.monotonic()
    found, looked = _search(settings, objects, asked)
    if not found:
        raise SettingsError(f"nothing to find: no row that went well has of={settings.of}, or where= takes none")
    progress.say(f"searched {looked:,} rows of {len(objects):,} objects in {time.monotonic() - began:.2f} s")
    answers = hits(settings.run, plan, objects, found)
    return f"{table(answers)}\n{write(settings, plan, asked, answers, looked)}"


def _check(settings: Search, plan: Plan) -> None:
    known = (RESULT, *judged(plan.task.roles))
    if settings.of not in known:
        raise SettingsError(f"unknown of={settings.of}; this run has embeddings of {', '.join(known)}")
    if settings.top_k < 1:
        raise SettingsError(f"top_k must be at least 1, not {settings.top_k}")
    if settings.index not in (None, *INDEXES):
        raise SettingsError(f"unknown index={settings.index}; known: {', '.join(INDEXES)}, or null for exact search")
    if settings.index and settings.where:
        raise SettingsError("where= needs exact search; leave out index=")


def _search(settings: Search, objects: Sequence[Stored], asked: Query) -> tuple[list[Found], int]:
    """The answers, best first. A row that is searched with is no answer of its own."""
    space, itself = Space(settings.of, settings.where), asked.given if asked.kind == query.ROW else None
    wanted = settings.top_k + (itself is not None)
    if settings.index:
        found, looked = approximate.search(objects, space, asked.vector, wanted, settings.output)
    else:
        found, looked = exact.search(objects, space, asked.vector, wanted)
    return [f for f in found if f.item != itself][: settings.top_k], looked


def table(found: Sequence[Hit]) -> str:
    """Answers as text, a line for each."""
    head = ("rank", "similarity", "row_id", "source_id", "cell", "text")
    lines = [head, *((str(h.rank), f"{h.similarity:.4f}", h.row_id, h.source_id, h.cell, _short(h)) for h in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _short(hit: Hit) -> str:
    text = " ".join(hit.text.split())
    return text if len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 1] + "…"
