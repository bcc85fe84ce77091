"""Selected results as files: python jobs/export.py run=OUT output=PLACE (--help lists every key)."""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Export, Signing


def export(settings: Export) -> str:
    """The folder of the files."""
    from pipeline import export as work

    run, output = (storage.absolute(uri, output_root()) for uri in (settings.run, settings.output))
    here = {
        f.name: (at := getattr(settings.c2pa, f.name)) and storage.absolute(at) for f in dataclasses.fields(Signing)
    }
    return work.export(dataclasses.replace(settings, run=run, output=output, c2pa=Signing(**here)))


if __name__ == "__main__":
    main("export", Export, export)
