"""source=aistpp: AIST++ (Li et al. 2021), from a folder that its user has.

    motions/gBR_sBM_cAll_d04_mBR0_ch01.pkl   smpl_poses [N, 72], smpl_trans [N, 3], smpl_scaling [1]; 60 fps, Y up
    wav/mBR0.wav, or wav/<motion>.wav        the music, which begins with the motion
    ignore_list.txt, splits/crossmodal_{train,val,test}.txt   used where they are there

SMPL's body model is not needed: joints come from the rotations, on the one body (body.py). keypoints3d/ is not
read: its 17 points have neither spine nor toes.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.datasets.dance import recordings, unpickle
from pipeline.datasets.dance.body import posed
from pipeline.datasets.dance.kinematics import from_vectors
from pipeline.datasets.dance.reading import FormatError, content
from pipeline.datasets.dance.recordings import Recording, from_recordings
from pipeline.motion.skeleton import Poses
from pipeline.settings import Prepare, SettingsError

LICENCE = "motion: AIST++ annotations, CC BY 4.0 (Google); music: terms of the AIST Dance Video Database"
FRAMES = 60  # a second
GENRES = {
    "gBR": "break dance", "gPO": "popping", "gLO": "locking", "gMH": "middle hip-hop", "gLH": "LA-style hip-hop",
    "gHO": "house", "gWA": "waacking", "gKR": "krump", "gJS": "street jazz", "gJB": "ballet jazz",
}  # fmt: skip


def from_folder(settings: Prepare) -> pa.Table:
    """The data set of a folder."""
    return from_recordings(find(Path(settings.input.path)), settings, LICENCE)


def find(folder: Path) -> list[Recording]:
    """All dances of a folder that have music and are not on the list of faulty ones."""
    lists = {split: _names(folder / f"splits/crossmodal_{split}.txt") for split in ("train", "val", "test")}
    splits = {name: split for split, names in lists.items() for name in names}
    ignored = _names(folder / "ignore_list.txt")
    found = []
    for path in sorted(folder.glob("motions/*.pkl")):
        fields = path.stem.split("_")
        if len(fields) != 6 or fields[0] not in GENRES:
            raise FormatError(f"{path} is not named like gBR_sBM_cAll_d04_mBR0_ch01.pkl")
        song = fields[4]
        music = recordings.audio(folder / "wav", path.stem, song)
        if music and path.stem not in ignored and (path.stem in splits or not splits):
            split = splits.get(path.stem, recordings.split_of(song))
            found.append(Recording(path.stem, song, GENRES[fields[0]], "", split, path, music, read))
    if not found:
        raise SettingsError(f"{folder} has no motions/g*.pkl of AIST++ with music in wav/; see docs/dance.md")
    return found


def _names(path: Path) -> frozenset[str]:
    return frozenset(content(path).decode("utf-8", "replace").split()) if path.is_file() else frozenset()


def read(path: Path) -> Poses:
    """The motion of a file."""
    held = unpickle.read(path)
    try:
        turns = np.asarray(held["smpl_poses"], np.float64).reshape(-1, 24, 3)[:, :22]
        root = np.asarray(held["smpl_trans"], np.float64).reshape(-1, 3) / float(np.ravel(held["smpl_scaling"])[0])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FormatError(f"{path} has no smpl_poses, smpl_trans and smpl_scaling: {error!r}") from error
    if len(root) != len(turns) or len(root) < 2 or not (np.isfinite(turns).all() and np.isfinite(root).all()):
        raise FormatError(f"{path} has {len(turns)} poses and {len(root)} places, or values that are not finite")
    return posed(from_vectors(turns), root, FRAMES)
