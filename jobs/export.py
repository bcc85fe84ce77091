"""Selected results as files: python jobs/export.py run=OUT output=PLACE (--help lists every key)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Export


def export(settings: Export) -> str:
    """The folder of the files."""
    from pipeline import export as work

    run, output = (storage.absolute(uri, output_root()) for uri in (settings.run, settings.output))
    return work.export(dataclasses.replace(settings, run=run, output=output))


if __name__ == "__main__":
    main("export", Export, export)
