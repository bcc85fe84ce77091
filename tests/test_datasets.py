import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from pipeline.datasets import openmoji
from pipeline.datasets.openmoji import Drawing, assign_splits, components, pairwise_f1, table
from pipeline.datasets.prepare import prepare
from pipeline.scores.sketch import f1, lines
from pipeline.settings import Prepare, Raw, SettingsError, Source

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72">{}</svg>'
RECORD = {"annotation": "red disc", "tags": "round", "group": "symbols", "skintone": "", "skintone_base_hexcode": ""}


def shape(seed: int, jitter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(coloured, sketch) of some random boxes; a jitter of a pixel is a near-copy."""
    rng = np.random.default_rng(seed)
    rgb, grey = Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64), 255)
    for _ in range(3):
        x, y = rng.integers(2, 30, 2).tolist()
        box = (x + jitter, y, x + jitter + int(rng.integers(8, 28)), y + int(rng.integers(8, 28)))
        ImageDraw.Draw(rgb).rectangle(box, tuple(rng.integers(0, 255, 3).tolist()), "black", 2)
        ImageDraw.Draw(grey).rectangle(box, None, 0, 2)
    return np.asarray(rgb), np.asarray(grey)


def drawing(name: str, seed: int, **fields: object) -> Drawing:
    rgb, grey = shape(seed, int(str(fields.pop("jitter", 0))))
    given = {"text": name, "tags": "", "group": "objects", "base": name, "skin_tone": None, "color": rgb, "black": grey}
    return Drawing(hexcode=name, **{**given, **fields})  # type: ignore[arg-type]


def flag(name: str, colour: tuple[int, int, int]) -> Drawing:
    rgb, grey = np.full((64, 64, 3), colour, np.uint8), np.full((64, 64), 255, np.uint8)
    grey = grey.copy()
    grey[20, 5:60] = grey[40, 5:60] = 0
    grey[20:41, 5] = grey[20:41, 59] = 0
    return Drawing(name, f"flag: {name}", "", "flags", name, None, rgb, grey)


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    made = [drawing(f"d{i}", i) for i in range(60)]
    made += [drawing(f"copy{i}", i, jitter=1) for i in range(0, 60, 3)]
    made += [drawing(f"d1-{tone}", 1, base="d1", skin_tone=tone) for tone in openmoji.SKIN_TONES]
    made += [
        flag("France", (0, 0, 200)),
        flag("Réunion", (0, 0, 200)),
        *[flag(f"F{i}", (i * 12, 200, 9)) for i in range(20)],
    ]
    return made


def test_pairwise_f1_is_the_score_of_every_two_sketches() -> None:
    sketches = [shape(i)[1] for i in range(5)]
    matrix = pairwise_f1(sketches)
    for i in range(5):
        for j in range(5):
            assert matrix[i, j] == pytest.approx(f1(lines(sketches[i]), lines(sketches[j])), abs=1e-5)


def test_near_copies_variants_and_equal_flags_share_a_component(drawings: list[Drawing]) -> None:
    label, is_flag = components(drawings)
    of = {d.hexcode: int(c) for d, c in zip(drawings, label, strict=True)}
    assert all(of[f"copy{i}"] == of[f"d{i}"] for i in range(0, 60, 3))
    assert len({of[f"d1-{tone}"] for tone in openmoji.SKIN_TONES} | {of["d1"]}) == 1
    assert of["France"] == of["Réunion"]
    assert of["France"] != of["F3"]
    assert [d.text.startswith("flag: ") for d in drawings] == is_flag.tolist()


def test_no_component_crosses_a_split_and_shares_are_kept(drawings: list[Drawing]) -> None:
    made = table(drawings).to_pandas()
    assert (made.groupby("component").split.nunique() == 1).all()
    shares = made.groupby("split").size() / len(made)
    assert shares["train"] == pytest.approx(0.8, abs=0.08)
    assert set(made.split) == {"train", "val", "test"}
    test, train = (made[(made.split == s) & (made.slice == "drawings")] for s in ("test", "train"))
    sketch = {d.hexcode: d.black for d in drawings}
    matrix = pairwise_f1([sketch[i] for i in [*test.id, *train.id]])
    assert matrix[: len(test), len(test) :].max() < openmoji.NEAR_COPY


def test_splits_do_not_depend_on_the_order_of_components() -> None:
    label = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8], np.int32)
    assert assign_splits(label, ["a"] * 10) == assign_splits(label + 100, ["a"] * 10)


def package(folder: Path, count: int) -> Path:
    records = [
        {**RECORD, "hexcode": f"A{i}", "annotation": "flag: France" if i == 0 else f"disc {i}"} for i in range(count)
    ]
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "openmoji.json").write_text(json.dumps(records))
    for kind in ("color", "black"):
        (folder / kind / "svg").mkdir(parents=True)
        for i in range(count):
            fill = "#ff0000" if kind == "color" else "none"
            disc = f'<circle cx="{20 + i * 3}" cy="36" r="{6 + i * 2}" fill="{fill}" stroke="#000" stroke-width="2"/>'
            (folder / kind / "svg" / f"A{i}.svg").write_text(SVG.format(disc))
    return folder


def test_a_package_becomes_parquet_that_others_read_as_images(tmp_path: Path) -> None:
    out = str(tmp_path / "pairs.parquet")
    source = Source("openmoji", "pipeline.datasets.openmoji:from_package", {"image_size": 48})
    settings = Prepare(source, Raw(str(package(tmp_path / "package", 6))), out, 4)
    assert prepare(settings) == out
    found = pq.read_table(out)
    assert found.num_rows == 6
    assert pq.ParquetFile(out).num_row_groups == 2
    first = Image.open(__import__("io").BytesIO(found["image"][3]["bytes"].as_py()))
    assert first.size == (48, 48)
    assert np.asarray(first)[24, 19].tolist() == [255, 0, 0]
    with pytest.raises(SettingsError, match="exists already"):
        prepare(settings)


def test_what_is_no_package_is_answered_with_the_command_that_makes_one(tmp_path: Path) -> None:
    source = Source("openmoji", "pipeline.datasets.openmoji:from_package", {"image_size": 64})
    with pytest.raises(SettingsError, match="npm pack openmoji@17.0.0"):
        prepare(Prepare(source, Raw(str(tmp_path)), str(tmp_path / "x"), 64))
