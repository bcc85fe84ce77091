"""source=finedance: FineDance (Li et al. 2023), from a folder that its user has.

    motion/001.npy       [T, 315]: place, then 52 rotations of SMPL-H as 6 numbers each, 30 fps; or [T, 319], four
                         contacts first
    music_wav/001.wav    the music, which begins with the motion
    label_json/001.json  {"name": …, "style1": …, "style2": …}

SMPL's body model is not needed: the joints of the body come from the rotations, on the one body (body.py).
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.datasets.dance import recordings
from pipeline.datasets.dance.body import posed
from pipeline.datasets.dance.kinematics import from_six
from pipeline.datasets.dance.reading import FormatError, content
from pipeline.datasets.dance.recordings import Recording, from_recordings
from pipeline.motion.skeleton import FPS, Poses
from pipeline.settings import Prepare, SettingsError

LICENCE = "FineDance: terms of its authors, research only; music: its copyright holders"
CONTACTS, PLACE, ROTATIONS, BODY = 4, 3, 52, 22
# The split FineDance@Genre: its test pieces, and those that its authors leave out.
TEST = (12, 36, 37, 63, 65, 92, 98, 109, 132, 137, 143, 144, 161, 179, 193, 198, 204, 211)
LEFT_OUT = (*range(116, 124), 130, 202)


def from_folder(settings: Prepare) -> pa.Table:
    """The data set of a folder."""
    return from_recordings(find(Path(settings.input.path)), settings, LICENCE)


def find(folder: Path) -> list[Recording]:
    """All dances of a folder that have music and that its authors use."""
    found = []
    for path in sorted(folder.glob("motion/*.npy")):
        music = recordings.audio(folder / "music_wav", path.stem)
        if not path.stem.isdecimal():
            raise FormatError(f"{path} is not named by the number of its dance")
        if music is None or int(path.stem) in LEFT_OUT:
            continue
        label = _label(folder / "label_json" / f"{path.stem}.json")
        split = "test" if int(path.stem) in TEST else "val" if recordings.split_of(path.stem) == "val" else "train"
        genre, coarse = (str(label.get(key) or "").strip().lower() for key in ("style2", "style1"))
        words = coarse if genre and coarse != genre else ""
        name, spoken = f"finedance_{path.stem}", genre or coarse or "dance"
        found.append(Recording(name, path.stem, spoken, words, split, path, music, read))
    if not found:
        raise SettingsError(f"{folder} has no motion/*.npy of FineDance with music in music_wav/; see docs/dance.md")
    return found


def _label(path: Path) -> dict[str, Any]:
    """The label of a dance; an empty one where there is none."""
    if not path.is_file():
        return {}
    try:
        label = json.loads(content(path))
    except ValueError as error:
        raise FormatError(f"{path} is no JSON: {error}") from error
    if not isinstance(label, dict):
        raise FormatError(f"{path} holds no object")
    return label


def read(path: Path) -> Poses:
    """The motion of a file."""
    try:
        values = np.asarray(np.load(io.BytesIO(content(path)), allow_pickle=False), np.float64)
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path} is no array of numbers: {error}") from error
    width = PLACE + 6 * ROTATIONS
    if values.ndim != 2 or values.shape[1] not in (width, CONTACTS + width) or len(values) < 2:
        raise FormatError(f"{path} has the shape {values.shape}, not [T, {width}], nor [T, {CONTACTS + width}]")
    if not np.isfinite(values).all():
        raise FormatError(f"{path} has values that are not finite")
    values = values[:, -width:]
    turns = values[:, PLACE : PLACE + 6 * BODY].reshape(-1, BODY, 6)
    return posed(from_six(turns), values[:, :PLACE], FPS)
