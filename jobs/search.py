"""Retrieval over a finished run: python jobs/search.py run=OUT text="a red heart" (--help lists every key)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Search


def search(settings: Search) -> str:
    """A table, and the path of the page."""
    from pipeline.search import answer

    run, output = (storage.absolute(uri, output_root()) for uri in (settings.run, settings.output))
    return answer.search(dataclasses.replace(settings, run=run, output=output))


if __name__ == "__main__":
    main("search", Search, search)
