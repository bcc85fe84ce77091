"""See tests/studies/__init__.py: python -m tests.studies FOLDER ITEM [PAIRS] [SEEDS, as 0,1,2]."""

import functools
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import cluster
from pipeline.settings import Cluster
from tests.studies.study import once

SEEDS = (0, 1, 2)


def main(folder: Path, item: str, pairs: Path, seeds: Sequence[int]) -> None:
    """Make what is not there yet; one seed after the other, so that all variants have one before any has two."""
    study = importlib.import_module(f"tests.studies.{item}")
    with cluster.connected(Cluster(None, 500_000_000)):
        for seed in seeds:
            for variant in (v for v in study.VARIANTS if seed < v.seeds):
                own = folder / variant.place / str(seed)
                for name, measure in study.MEASURES.items():
                    once(own / f"{name}.json", functools.partial(measure, variant, seed, pairs, own))


if __name__ == "__main__":
    _folder, _item, *_more = sys.argv[1:]
    _pairs = Path(_more[0] if _more else "data/openmoji.parquet").resolve()
    _seeds = [int(s) for s in _more[1].split(",")] if len(_more) > 1 else SEEDS
    main(Path(_folder).resolve(), _item, _pairs, _seeds)
