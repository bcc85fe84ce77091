"""What was found as one self-contained page, and as JSON beside it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline import storage
from pipeline.kinds import KINDS
from pipeline.ledger import Plan
from pipeline.report.album import Album, Picture
from pipeline.report.previews import Previews
from pipeline.search.hits import Hit
from pipeline.search.query import ROW, Query
from pipeline.seeds import digest
from pipeline.settings import Search

UNBOUNDED = 2**40  # characters of pictures: the page has no files beside it


def write(settings: Search, plan: Plan, query: Query, hits: Sequence[Hit], looked: int) -> str:
    """Write the page and the JSON file below settings.output; the page's path. The same query has the same names."""
    page = storage.join(settings.output, f"{name(settings, plan, query)}.html")
    body = json.dumps(facts(settings, plan, query, hits, looked), indent=1) + "\n"
    storage.put(page.removesuffix(".html") + ".json", body.encode())
    storage.put(page, render(settings, plan, query, hits, looked).encode())
    return page


def name(settings: Search, plan: Plan, query: Query) -> str:
    """Words of the query for people, and a hash of all that was asked."""
    words = re.sub(r"[^a-z0-9]+", "-", query.given.rsplit("/", 1)[-1].lower())[:40].strip("-")
    asked = (*plan.fingerprints, query.vector.tobytes(), settings.of, settings.top_k, settings.where, settings.index)
    return "-".join([query.kind, *([words] if words else []), digest(*asked, size=4).hex()])


def facts(settings: Search, plan: Plan, query: Query, hits: Sequence[Hit], looked: int) -> dict[str, Any]:
    """The answer for machines; of media only the texts."""
    kept = ("rank", "similarity", "row_id", "source_id", "cell", "text", "scores")
    return {
        "run": settings.run,
        "query": {query.kind: query.given},
        "of": settings.of,
        "where": settings.where,
        "exact": settings.index is None,
        "judge": plan.identity["model"]["judge"],
        "rows": looked,
        "hits": [{key: getattr(hit, key) for key in kept} for hit in hits],
    }


def render(settings: Search, plan: Plan, query: Query, hits: Sequence[Hit], looked: int) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shown = Previews(plan.task, Album(UNBOUNDED))
    roles = [role for role, kind in plan.task.roles.items() if KINDS[kind].preview]
    return environment.get_template("page.html").render(
        facts=facts(settings, plan, query, hits, looked),
        query=query,
        asked=_asked(shown, query),
        hits=[
            (
                hit,
                shown.result({"result": hit.result}),
                {r: shown.given(plan.task.roles[r], hit.inputs.get(r)) for r in roles},
            )
            for hit in hits
        ],
    )


def _asked(shown: Previews, query: Query) -> Picture | None:
    """What was searched with; None for words."""
    if query.kind == ROW:
        return shown.result({"result": query.shown})
    return shown.given(query.kind, query.shown)
