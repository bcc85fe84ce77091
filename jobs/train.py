"""Train one part of a generator: python jobs/train.py stage=align|autoencode|denoise output=… key=value …"""

from jobs.cli import main
from pipeline.settings import Train


def train(settings: Train) -> str:
    """The folder of the trained model."""
    from pipeline.train.fit import fit

    return str(fit(settings))


if __name__ == "__main__":
    main("train", Train, train)
