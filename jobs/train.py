"""Train one part of a generator: python jobs/train.py stage=… output=… key=value …"""

import dataclasses

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.train.settings import Train


def absolute(settings: Train) -> Train:
    """Relative local paths from here, the output and models from where they last: workers have
    working directories of their own."""
    paths = {
        k: storage.absolute(v, output_root())
        for k, v in settings.stage.options.items()
        if k in ("clip", "vae", "language", "space", "judge", "model", "teacher", "start") and v is not None
    }
    return dataclasses.replace(
        settings,
        output=storage.absolute(settings.output, output_root()),
        input=dataclasses.replace(settings.input, path=storage.absolute(settings.input.path)),
        stage=dataclasses.replace(settings.stage, options={**settings.stage.options, **paths}),
    )


def train(settings: Train) -> str:
    """The folder of the trained model."""
    from pipeline.train.fit import fit

    return fit(absolute(settings))


if __name__ == "__main__":
    main("train", Train, train)
