"""Two finished runs side by side: python jobs/compare.py run=A against=B output=PLACE (--help lists every key)."""

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Compare


def compare(settings: Compare) -> str:
    """The path of the page."""
    from pipeline.evaluation.collect import finished
    from pipeline.report.comparison import write_comparison

    place, second, first = (
        storage.absolute(uri, output_root()) for uri in (settings.output, settings.run, settings.against)
    )
    return write_comparison(place, first, finished(first), second, finished(second))


if __name__ == "__main__":
    main("compare", Compare, compare)
