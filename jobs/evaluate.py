"""Figures of a finished run: python jobs/evaluate.py run=OUT key=value … (--help lists every key)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Evaluate


def evaluate(settings: Evaluate) -> str:
    """Tables, and the path of the JSON file."""
    from pipeline.evaluation import aggregate

    return aggregate.evaluate(dataclasses.replace(settings, run=storage.absolute(settings.run, output_root())))


if __name__ == "__main__":
    main("evaluate", Evaluate, evaluate)
