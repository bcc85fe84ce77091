"""Dances as files of their own, through the job's own code: one for each selected result, on either store."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import audit, storage
from pipeline.adopt import adopt_or_make
from pipeline.export import DANCES, export
from pipeline.motion.formats import video
from pipeline.settings import Export, Generate, SettingsError
from tests import tiny_dance
from tests.test_stages import HASHES
from tests.test_stages import run as stages

STARTS = {"npz": b"PK", "bvh": b"HIERARCHY", "glb": b"glTF", "gif": b"GIF89a", "mp4": b"ftyp"}


@pytest.fixture(scope="module")
def danced(tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """A finished run of two inputs, two samples of each, of which the better one is selected."""
    root = tmp_path_factory.mktemp("dances")
    source = tiny_dance.write(root / "in.parquet", tiny_dance.rows(2))
    folders, more = tiny_dance.models(root / "models"), ("steps=2", "num_samples=2", "select.top_k=1")
    settings = tiny_dance.generate(folders, str(source), str(root / "out"), *more)
    stages(settings)
    audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, HASHES)), {})
    return settings


@pytest.mark.parametrize(
    ("place", "form"), [*(("local", form) for form in DANCES), ("s3", "bvh"), ("s3", "gif")], indirect=["place"]
)
def test_each_selected_dance_is_a_file_of_its_own(danced: Generate, place: str, form: str) -> None:
    if form == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    output = f"{place}/dances"
    assert export(Export(danced.output, output, form, 100)) == output
    files = storage.list_objects(output)
    rows = {r["row_id"]: r for r in pq.read_table(f"{danced.output}/data").to_pylist() if r["selected"]}
    assert [f.uri.rsplit("/", 1)[-1] for f in files] == sorted(f"{row_id}.{form}" for row_id in rows)
    assert len(files) == 2
    assert all(STARTS[form] in storage.read(f.uri)[:12] for f in files)
    export(Export(danced.output, output, form, 100))
    assert storage.list_objects(output) == files


def test_an_archive_has_the_poses_and_beats_of_its_row(danced: Generate, tmp_path: Path) -> None:
    export(Export(danced.output, str(tmp_path), "npz", 100))
    rows = pq.read_table(f"{danced.output}/data").to_pylist()
    for row in (r for r in rows if r["selected"]):
        with np.load(io.BytesIO((tmp_path / f"{row['row_id']}.npz").read_bytes())) as file:
            assert file["poses"].ravel().tolist() == row["motion"]
            assert len(file["beats"])
            assert (file["beats"] < row["n_frames"] / 30).all()


def test_a_video_says_what_it_needs(danced: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "available", lambda: False)
    with pytest.raises(SettingsError, match=r"needs imageio-ffmpeg: pip install 'batch-diffusion\[video\]'"):
        export(Export(danced.output, str(tmp_path), "mp4", 100))
