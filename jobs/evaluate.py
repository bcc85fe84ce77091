"""Figures of a finished run: python jobs/evaluate.py run=OUT key=value … (--help lists every key)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Evaluate


def evaluate(settings: Evaluate) -> str:
    """Tables, and the path of the run's page, which shows them from then on."""
    from pipeline.evaluation import aggregate
    from pipeline.evaluation.collect import finished
    from pipeline.report import page

    run = storage.absolute(settings.run, output_root())
    said = aggregate.evaluate(dataclasses.replace(settings, run=run))
    return f"{said}\n{page.write_report(run, finished(run))}" if page.stands(run) else said


if __name__ == "__main__":
    main("evaluate", Evaluate, evaluate)
