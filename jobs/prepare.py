"""Make a data set of paired modalities: python jobs/prepare.py source=openmoji input.path=package output=…"""

from jobs.cli import main
from pipeline.settings import Prepare

if __name__ == "__main__":
    from pipeline.datasets.prepare import prepare

    main("prepare", Prepare, prepare)
