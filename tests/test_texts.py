"""Texts for rows that have none: neighbours in a space whose vectors are known, captions of a run, the columns."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from pipeline.datasets import captioned, pseudo_pairs, texts
from pipeline.datasets.prepare import prepare
from pipeline.datasets.texts import Found
from pipeline.settings import Prepare, Raw, SettingsError, Source
from tests import make, tiny

OPTIONS = {"clip": "", "confidence": 0.9, "texts": "unpaired", "text": "text", "image": "image"}
ANGLES = {"a red box": 0.0, "a green box": 90.0, "a blue box": 180.0, "a pair": 10.0}


class Circle:
    """A space of two dimensions, in which a text lies where ANGLES says, and a picture by its red."""

    def embed(self, kind: str, values: Any) -> Tensor:
        """Unit vectors [B, 2]."""
        degrees = [ANGLES[v] if kind == "text" else float(v[0, 0, 0]) for v in values]
        angle = torch.tensor(degrees) * torch.pi / 180
        return torch.stack([angle.cos(), angle.sin()], 1)


def cell(degrees: int) -> dict[str, Any]:
    from PIL import Image

    return {"bytes": tiny.png(Image.new("RGB", (4, 4), (degrees, 0, 0))), "path": None}


def table(*rows: tuple[str | None, Any]) -> pa.Table:
    found = [{"id": str(i), "text": text, "image": image} for i, (text, image) in enumerate(rows)]
    fields = [field for field in tiny.SCHEMA if field.name in ("id", "text", "image")]
    return pa.Table.from_pylist(found, pa.schema(fields))


ROWS = (
    ("a red box", None),
    ("a green box", None),
    (None, cell(12)),
    ("", cell(80)),
    ("a pair", cell(170)),
    (None, cell(45)),
    (None, {"bytes": b"no picture", "path": None}),
    (None, None),
)


def paired(rows: pa.Table, **options: Any) -> dict[str, list[Any]]:
    made = pseudo_pairs.paired(rows, {**OPTIONS, **options}, Circle())
    return {name: made[name].to_pylist() for name in ("text", "text_source", "confidence")}


def test_the_nearest_unpaired_text_is_taken_if_it_is_near_enough() -> None:
    found = paired(table(*ROWS))
    assert found["text"] == ["a red box", "a green box", "a red box", "a green box", "a pair", None, None, None]
    own, near = "given", "neighbour"
    assert found["text_source"] == [own, own, near, near, own, None, None, None]
    expected = [np.cos(np.deg2rad(12)), np.cos(np.deg2rad(10))]
    assert [c for c in found["confidence"] if c is not None] == pytest.approx(expected, abs=1e-6)


def test_all_texts_and_less_confidence_pair_more() -> None:
    assert paired(table(*ROWS), texts="all")["text"][2] == "a pair"
    assert paired(table(*ROWS), confidence=0.7)["text"][5] in ("a red box", "a green box")
    nothing = paired(table((None, cell(3)), (None, cell(4))))
    assert nothing["text"] == nothing["text_source"] == nothing["confidence"] == [None, None]
    unreadable = paired(table(("a red box", None), (None, {"bytes": b"no picture", "path": None})))
    assert unreadable["text"] == ["a red box", None]


def test_a_text_that_cannot_be_read_is_none() -> None:
    missing = pa.array([float("nan")] * 2)  # as pandas writes a column without any text
    rows = table(*ROWS[:2]).set_column(1, "text", missing)
    assert texts.told(rows, "text") == ["", ""]
    assert texts.filled(rows, "text", {1: Found("a box", 0.5)}, "captioner")["text"].to_pylist() == [None, "a box"]
    assert texts.told(table(("a" * 10_001, None)), "text") == [""]


def test_who_is_nearest_in_closed_form() -> None:
    best, cosine = pseudo_pairs.nearest(np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)[[2, 1, 0]])
    assert best.tolist() == [2, 1]
    assert cosine.tolist() == [1, 1]


def test_a_second_filling_keeps_what_the_first_said() -> None:
    first = texts.filled(table(*ROWS), "text", {2: Found("a box", 0.5)}, "captioner")
    second = texts.filled(first, "text", {5: Found("a disc", None)}, "neighbour")
    assert second.column_names == ["id", "text", "image", "text_source", "confidence"]
    assert second["text_source"].to_pylist()[2:6] == ["captioner", None, "given", "neighbour"]
    assert second["confidence"].to_pylist()[2:6] == [0.5, None, None, None]
    assert second["text"].to_pylist()[2:6] == ["a box", "", "a pair", "a disc"]


def test_pictures_and_texts_may_lie_in_files_of_their_own(tmp_path: Path) -> None:
    every = table(("a red box", None), (None, cell(12)))
    pq.write_table(every.slice(0, 1).drop_columns("image"), tmp_path / "1.parquet")
    pq.write_table(every.slice(1, 1).drop_columns("text"), tmp_path / "2.parquet")
    assert paired(texts.read(str(tmp_path), {"text": "text", "image": "image"}))["text"] == ["a red box"] * 2
    pq.write_table(pa.table({"id": [1]}), tmp_path / "3.parquet")
    with pytest.raises(SettingsError, match="its files do not go together: .*id"):
        texts.read(str(tmp_path), {})


def settings(path: Path, output: Path, factory: str, **options: Any) -> Prepare:
    return Prepare(Source("s", factory, options), Raw(str(path)), str(output), 4)


def test_pseudo_pairs_of_a_file_by_a_real_clip(models: dict[str, str], tmp_path: Path) -> None:
    rows = tiny.rows(6)
    for i, row in enumerate(rows):
        row.update({"text": None} if i % 2 else {"image": None})
    tiny.write(tmp_path / "in.parquet", rows)
    factory = "pipeline.datasets.pseudo_pairs:from_table"
    given = {**OPTIONS, "clip": models["clip"], "confidence": -1.0}
    made = pq.read_table(prepare(settings(tmp_path / "in.parquet", tmp_path / "out.parquet", factory, **given)))
    assert made["text_source"].to_pylist() == ["given", "neighbour"] * 3
    assert set(made["text"].to_pylist()[1::2]) <= set(made["text"].to_pylist()[::2])
    assert made["sketch"].to_pylist() == [row["sketch"] for row in rows]
    assert json.loads(made.schema.metadata[b"huggingface"])["info"]["features"].keys() == {"image", "sketch"}
    for change, answer in (
        ({"texts": "some"}, "source.options.texts must be one of unpaired, all, not some"),
        ({"confidence": 2.0}, r"source.options.confidence is a cosine, in \[-1, 1\], not 2"),
        ({"text": "label"}, r"has no column 'label' \(source.options.text\); it has id, text"),
    ):
        with pytest.raises(SettingsError, match=answer):
            prepare(settings(tmp_path / "in.parquet", tmp_path / "no.parquet", factory, **{**given, **change}))


def test_captions_find_their_rows_by_ids_of_any_type() -> None:
    numbered = pa.table({"id": [7, 8, 9], "text": [None, "own", ""]})
    captions = {"7": Found("a box", 0.5), "8": Found("a disc", 0.9), "9": Found("a far one", 0.1)}
    options = {"text": "text", "id": "id", "confidence": 0.3}
    assert captioned.chosen(numbered, options, captions) == {0: captions["7"]}
    assert captioned.chosen(numbered, {**options, "confidence": None}, captions).keys() == {0, 2}


def test_captions_need_a_run_that_captioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(tmp_path / "in.parquet", tiny.rows(2))
    given = {"run": str(tmp_path), "confidence": None, "text": "text", "id": "id"}
    with pytest.raises(SettingsError, match="holds no run"):
        captioned.from_run(settings(tmp_path / "in.parquet", tmp_path / "out.parquet", "", **given))
    with pytest.raises(SettingsError, match="there is no Parquet file"):
        captioned.from_run(settings(tmp_path / "nothing", tmp_path / "out.parquet", "", **given))
    monkeypatch.setattr(captioned, "finished", lambda run: SimpleNamespace(task=make.task("sketch_to_image")))
    with pytest.raises(SettingsError, match="is a run of task=sketch_to_image; take one of task=caption"):
        captioned.said("run")
