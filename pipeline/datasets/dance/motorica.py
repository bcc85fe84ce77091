"""source=motorica: the Motorica Dance Dataset (Alexanderson et al. 2023), from a folder that its user has.

    bvh/kthstreet_gLH_sFM_cAll_d02_mLH_ch01_lala_001.bvh   120 fps, centimetres, one skeleton
    wav/<the same name>.wav                                the music, which begins with the motion

Dances whose music was not published (casual dancing) are left out. The features that are published beside it are
pickled tables of pandas, which are not read: they hold nothing that motion and music do not.
"""

import re
from pathlib import Path

import pyarrow as pa

from pipeline.datasets.dance import bvh, recordings
from pipeline.datasets.dance.body import resample, retarget
from pipeline.datasets.dance.carriers import MOTORICA, assemble
from pipeline.datasets.dance.reading import FormatError
from pipeline.datasets.dance.recordings import Recording, from_recordings
from pipeline.motion.skeleton import Poses
from pipeline.settings import Prepare, SettingsError

LICENCE = "Motorica Dance Dataset: research only, no redistribution; music: its copyright holders"
GENRES = {
    "gLH": "hip-hop", "gKR": "krump", "gPO": "popping", "gLO": "locking", "gJZ": "jazz", "gCH": "charleston",
    "gTP": "tap dance", "gCA": "casual dance",
}  # fmt: skip


def from_folder(settings: Prepare) -> pa.Table:
    """The data set of a folder."""
    return from_recordings(find(Path(settings.input.path)), settings, LICENCE)


def find(folder: Path) -> list[Recording]:
    """All dances of a folder that have music."""
    found = []
    for path in sorted(folder.glob("bvh/*.bvh")):
        music = recordings.audio(folder / "wav", path.stem)
        if music is None:
            continue
        genre = next((GENRES[field] for field in path.stem.split("_") if field in GENRES), "dance")
        song = re.sub(r"^.*_ch\d+_|_\d+$", "", path.stem)
        found.append(Recording(path.stem, song, genre, "", recordings.split_of(song), path, music, read))
    if not found:
        raise SettingsError(f"{folder} has no bvh/*.bvh of Motorica with music in wav/; see docs/dance.md")
    return found


def read(path: Path) -> Poses:
    """The motion of a file."""
    file = bvh.read(path)
    try:
        positions = assemble(bvh.positions(file), MOTORICA)
    except KeyError as error:
        raise FormatError(f"{path} has no joint {error}") from error
    return retarget(resample(positions, file.fps))
