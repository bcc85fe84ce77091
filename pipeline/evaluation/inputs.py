"""What figures are read against: the inputs' own media, decoded at the results' size."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import ledger, media, storage
from pipeline.evaluation.intervals import Estimate, mean
from pipeline.ledger import Plan
from pipeline.media import Bounds, Pixels
from pipeline.scores.sketch import sketch_f1
from pipeline.settings import SettingsError
from pipeline.stages import attempt
from pipeline.stages.decode import DECODERS
from pipeline.stages.load import Reader


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Sketch and reference of inputs, where they have them."""

    sketch: Mapping[str, Pixels]  # source id -> [S, S]
    image: Mapping[str, Pixels]  # source id -> [S, S, 3]
    columns: Mapping[str, dict[str, Any]]  # source id -> further columns of the input file


def read(run: str, plan: Plan, size: int, columns: Sequence[str] = ()) -> Inputs:
    """All inputs of a run, decoded and fitted into `size` pixels; what cannot be decoded is missing here."""
    roles = {r: c for r in ("sketch", "image") if (c := plan.identity["input"]["columns"].get(r))}
    wanted = {**roles, **{f"extra.{c}": c for c in columns}}
    found: dict[str, dict[str, Any]] = {"sketch": {}, "image": {}}
    extra: dict[str, dict[str, Any]] = {}
    readers: dict[int, Reader] = {}
    for _, planned in ledger.planned(run, plan):
        places = {r["source_id"]: (r["file"], r["row"]) for r in planned.to_pylist()}
        for source, (file, row) in places.items():
            if file not in readers:
                readers = {file: Reader(plan.files[file], wanted)}
            cells = readers[file].rows([row]).to_pylist()[0]
            extra[source] = {c: cells[f"extra.{c}"] for c in columns}
            for role in roles:
                pixels, _ = attempt("evaluate", role, functools.partial(DECODERS[role], cells[role]))
                if pixels is not None:
                    found[role][source] = media.fit(pixels, size)
    return Inputs(found["sketch"], found["image"], extra)


def sketch_anchors(inputs: Inputs, sources: Sequence[str], seed: int = 0) -> tuple[Estimate, Estimate]:
    """(ceiling, null) of sketch fidelity: real pictures against their own sketch, and against another input's.

    Inputs without a sketch or a picture are left out; with fewer than two others both are NaN.
    """
    both = [s for s in dict.fromkeys(sources) if s in inputs.sketch and s in inputs.image]
    if len(both) < 2:
        return mean(np.array([]), []), mean(np.array([]), [])
    others = np.roll(np.random.default_rng(seed).permutation(len(both)), 1)
    order = np.random.default_rng(seed).permutation(len(both))
    own = np.array([sketch_f1(inputs.sketch[s], inputs.image[s]) for s in both])
    shuffled = np.array(
        [sketch_f1(inputs.sketch[both[a]], inputs.image[both[b]]) for a, b in zip(order, others, strict=True)]
    )
    return mean(own, both), mean(shuffled, [both[b] for b in others])


def result_side(run: str) -> int:
    """Pixels along a side of the run's results. Raises SettingsError for a run without any."""
    for stored in ledger.data_objects(run):
        with storage.open_parquet(stored.uri) as parquet:
            column = parquet.read(columns=["image"])["image"].drop_null()
        if len(column):
            return int(picture(column[0]["bytes"].as_py()).shape[0])
    raise SettingsError(f"run={run} has no result: all its rows failed")


def picture(data: bytes) -> Pixels:
    """A stored result, decoded."""
    return media.decode_image(data, Bounds())
