"""Selected results as training data: read by our own training, by WebDataset's naming, and by Hugging Face."""

import io
import json
import tarfile
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from pipeline import audit, storage
from pipeline.adopt import adopt_or_make
from pipeline.export import export
from pipeline.settings import Export, Generate, SettingsError
from tests import make, tiny
from tests.test_stages import HASHES, bad_rows, run

Models = dict[str, str]


@pytest.fixture
def finished(models: Models, tmp_path: Path) -> Generate:
    """A finished run of 8 inputs of which 3 went well, two samples each."""
    source = tiny.write(tmp_path / "in.parquet", bad_rows())
    more = ["num_samples=2", "select.top_k=1", "input.keep=[group]"]
    settings = make.generate(models, str(source), str(tmp_path / "run"), *more)
    run(settings)
    audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, HASHES)), {})
    return settings


def test_parquet_pairs_each_selected_result_with_its_input(finished: Generate, place: str) -> None:
    output = f"{place}/out"
    assert export(Export(finished.output, output, "parquet", 2)) == output
    parts = storage.list_objects(output)
    assert [p.uri.rsplit("/", 1)[-1] for p in parts] == ["part-00000.parquet", "part-00001.parquet"]
    rows = [r for p in parts for r in pq.read_table(p.uri).to_pylist()]
    assert [r["source_id"] for r in rows] == ["box-000", "box-004", "box-007"]
    given = {r["id"]: r for r in bad_rows()}
    for row in rows:
        assert row["text"] == given[row["source_id"]]["text"]
        assert row["sketch"]["bytes"] == given[row["source_id"]]["sketch"]["bytes"]  # type: ignore[index]
        assert row["image"]["bytes"][:4] == b"RIFF"
        assert row["group"] == given[row["source_id"]]["group"]
    before = [storage.stat(p.uri) for p in parts]
    export(Export(finished.output, output, "parquet", 2))
    assert [storage.stat(p.uri) for p in parts] == before


def test_training_reads_an_export(finished: Generate, tmp_path: Path, ray_session: None) -> None:
    from pipeline.settings import Input
    from pipeline.train.data import pictures, rows

    export(Export(finished.output, str(tmp_path / "out"), "parquet", 10))
    columns = {"text": "text", "image": "image", "sketch": "sketch"}
    reader = pictures({"image_size": tiny.SIZE}, ["image", "sketch"])
    assert rows(Input(str(tmp_path / "out"), columns, ()), None, reader).count() == 3
    shown = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path))
    assert shown[0]["image"].size == (tiny.SIZE, tiny.SIZE)


def test_webdataset_groups_members_by_row(finished: Generate, tmp_path: Path) -> None:
    export(Export(finished.output, str(tmp_path / "out"), "webdataset", 10))
    data = (tmp_path / "out" / "part-00000.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        member = tar.extractfile(next(n for n in names if n.endswith(".json")))
        assert member
        assert json.load(member)["source_id"] == "box-000"
    assert len({n.split(".")[0] for n in names}) == 3
    assert {n.split(".", 1)[1] for n in names} == {"image.webp", "sketch.png", "txt", "json"}


def test_unknown_forms_and_unfinished_runs_are_named(models: Models, pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown format=csv; known: parquet, webdataset, npz, bvh, glb, gif, mp4"):
        export(Export(str(tmp_path), str(tmp_path / "out"), "csv", 10))
    run(make.generate(models, pairs, str(tmp_path / "run"), "limit=2"))
    with pytest.raises(SettingsError, match="is not finished"):
        export(Export(str(tmp_path / "run"), str(tmp_path / "out"), "parquet", 10))


def test_formats_of_dances_are_for_dances(finished: Generate, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"format=bvh is for motions; results of .* are images: parquet, webdataset"
    ):
        export(Export(finished.output, str(tmp_path / "out"), "bvh", 10))
