"""Runs with published checkpoints, by configuration alone: stage by stage, without Ray."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.diffusion.editing import shrunk
from pipeline.media import Pixels
from pipeline.models import files
from pipeline.run import fingerprints, provenance
from pipeline.schema import HF_IMAGE
from pipeline.settings import Generate, SettingsError
from pipeline.weights import Model, Part
from tests import make, parity, published, tiny
from tests.test_stages import run

Models = dict[str, str]
ADAPTER = "t2i:stable_diffusion"


def settings(models: Models, pairs: str, place: str, family: str, *more: str) -> Generate:
    """A run of a published family with the tiny judge."""
    own = {**models, "path": str(parity.folder(family))}
    return make.generate(own, pairs, place, f"family={family}", "limit=4", *more)


def results(made: pa.Table) -> list[Pixels]:
    """All rows' pictures; every row must be ok."""
    rows = sorted(made.to_pylist(), key=lambda row: str(row["source_id"]))
    assert [row["error"] for row in rows] == [None] * len(rows)
    return [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows]


@pytest.mark.parametrize("guided", [["guidance=composed"], ["guidance=chained"], ["guidance=single", "guidance.all=4"]])
def test_stable_diffusion_with_an_adapter(models: Models, pairs: str, tmp_path: Path, guided: list[str]) -> None:
    adapter = f"model.adapters=[{{path: {parity.folder(ADAPTER)}, scale: 0.8}}]"
    made = run(settings(models, pairs, str(tmp_path), "stable_diffusion", adapter, *guided))
    pictures = results(made)
    assert {p.shape for p in pictures} == {(published.SIDE, published.SIDE, 3)}
    assert len({p.tobytes() for p in pictures}) == 4


@pytest.mark.parametrize("family", ["stable_diffusion_xl", "stable_diffusion_3", "flux"])
def test_text_alone(models: Models, pairs: str, tmp_path: Path, family: str) -> None:
    size = f"task.options.size={published.SIDE}"
    given = ("task=text_to_image", size, "scheduler=euler", "guidance=single", "guidance.all=3")
    assert len({p.tobytes() for p in results(run(settings(models, pairs, str(tmp_path), family, *given)))}) == 4


def test_text_alone_takes_the_starter_model(models: Models, pairs: str, tmp_path: Path) -> None:
    made = run(make.generate(models, pairs, str(tmp_path), "task=text_to_image", "limit=4"))
    assert len({p.tobytes() for p in results(made)}) == 4


def test_the_checkpoints_own_pipeline(models: Models, pairs: str, tmp_path: Path) -> None:
    own = {**models, "path": str(parity.folder("stable_diffusion"))}
    arguments = f"task.options.arguments={{guidance_scale: 3.0, height: {published.SIDE}, width: {published.SIDE}}}"
    given = ("task=text_to_image", "family=pipeline", "guidance=none", "limit=4", "scheduler=ddim", arguments)
    chosen = make.generate(own, pairs, str(tmp_path / "a"), *given)
    theirs = results(run(chosen))
    assert provenance(chosen, {})["guidance"] == "pipeline"
    same = ("task=text_to_image", "guidance=single", "guidance.all=3", "scheduler=ddim")
    ours = results(run(settings(models, pairs, str(tmp_path / "b"), "stable_diffusion", *same)))
    assert np.abs(np.stack(theirs).astype(int) - np.stack(ours)).max() <= 1  # one and the same picture


def edits(path: Path, count: int = 4) -> str:
    """Rows to edit: a box in a picture, and a mask that is white on its left half."""
    mask = Image.new("L", (tiny.SIZE, tiny.SIZE), 0)
    mask.paste(255, (0, 0, tiny.SIZE // 2, tiny.SIZE))
    rows = [{**row, "mask": {"bytes": tiny.png(mask), "path": None}} for row in tiny.rows(count)]
    pq.write_table(pa.Table.from_pylist(rows, tiny.SCHEMA.append(pa.field("mask", HF_IMAGE))), path)
    return str(path)


def sources(path: str, side: int) -> list[Pixels]:
    """The pictures to be edited."""
    rows = pq.read_table(path).to_pylist()
    opened = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in rows]
    return [np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) for picture in opened]


EDIT = ("task=edit", "input.columns.caption=tags")


@pytest.mark.parametrize("family", ["own", "stable_diffusion", "stable_diffusion_3", "inpainting"])
def test_a_mask_keeps_what_it_covers(models: Models, tmp_path: Path, family: str) -> None:
    path = edits(tmp_path / "in.parquet")
    given = (*EDIT, "scheduler=euler", "input.columns.mask=mask")
    if family == "own":
        made = run(make.generate(models, path, str(tmp_path / "out"), "limit=4", *given))
    else:
        made = run(settings(models, path, str(tmp_path / "out"), family, *given))
    rows = made.to_pylist()
    assert all(row["error"] is None for row in rows)
    assert max(row["scores"]["kept"] for row in rows) < 1  # WebP is lossless; both are fitted alike
    assert min(row["scores"]["changed"] for row in rows) > 1
    assert all(row["scores"]["clip_direction"] is not None for row in rows)


def test_a_mask_of_latents_is_that_of_pixels() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    assert torch.equal(shrunk(mask, 4)[0, 0, 0], torch.tensor([1.0, 1, 0, 0]))


def test_less_strength_changes_less(models: Models, tmp_path: Path) -> None:
    path = edits(tmp_path / "in.parquet")
    given = (*EDIT, "input.columns.mask=null", "steps=5", "guidance=none", "scheduler=ddim")
    changes = []
    for strength in (0.2, 1.0):
        more = (*given, f"task.options.strength={strength}")
        made = run(make.generate(models, path, str(tmp_path / str(strength)), "limit=4", *more))
        changes.append(np.mean([row["scores"]["changed"] for row in made.to_pylist()]))
    assert changes[0] < changes[1]


def test_instructions_are_guided_by_picture_and_text(models: Models, tmp_path: Path) -> None:
    path = edits(tmp_path / "in.parquet")
    chosen = settings(models, path, str(tmp_path / "out"), "instruct_pix2pix", *EDIT, "guidance=chained")
    assert len({p.tobytes() for p in results(run(chosen))}) == 4
    assert provenance(chosen, {})["guidance"] == "chained"


def test_a_row_without_a_source_cannot_be_edited(models: Models, tmp_path: Path) -> None:
    rows = tiny.rows(4)
    rows[1]["image"] = None
    tiny.write(tmp_path / "in.parquet", rows)
    given = (*EDIT, "input.columns.mask=null", "limit=4")
    made = run(make.generate(models, str(tmp_path / "in.parquet"), str(tmp_path / "out"), *given)).to_pylist()
    assert [row["status"] for row in made] == ["ok", "failed", "ok", "ok"]
    assert "has no source" in made[1]["error"]["message"]


def test_the_fingerprint_is_that_of_all_weights(tmp_path: Path) -> None:
    base, adapter = str(parity.folder("stable_diffusion")), str(parity.folder(ADAPTER))
    plain = Model(base, base, "float32", (), (), None, trust_pickle=False)
    joined = Model(base, base, "float32", (Part(adapter, 1.0),), (), None, trust_pickle=False)
    scaled = Model(base, base, "float32", (Part(adapter, 0.5),), (), None, trust_pickle=False)
    hashes = [files.fingerprints(model) for model in (plain, joined, scaled)]
    assert len({each["model"] for each in hashes}) == 3
    assert hashes[1]["generator"] == hashes[0]["model"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("family=stable_diffusion",), "needs model.adapters"),
        (("task=text_to_image", "family=stable_diffusion", "model.adapters=[x]"), "serve no condition"),
        (("model.adapters=[x]",), "serve no condition"),
        (("model.loras=[x]",), "say which with family="),
        (("task=text_to_image", "family=pipeline"), "guidance=none"),
        (("task=edit", "task.options.strength=0"), "strength"),
    ],
)
def test_parts_that_cannot_be_used_are_refused(
    models: Models, pairs: str, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    from pipeline.checks import check

    with pytest.raises(SettingsError, match=message):
        check(make.generate(models, pairs, str(tmp_path), *more))
    assert fingerprints(make.generate(models, pairs, str(tmp_path)))[0]["model"]
