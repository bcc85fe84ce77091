"""Measure the pipeline beside loops written by hand and other engines: python jobs/bench.py key=value … (--help)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.bench.settings import Bench


def bench(settings: Bench) -> str:
    """The path of the JSON file with all rows."""
    from pipeline.bench import table

    return table.run(dataclasses.replace(settings, output=storage.absolute(settings.output, output_root())))


if __name__ == "__main__":
    main("bench", Bench, bench)
