"""OpenMoji 17 -> paired rows: text (annotation, tags), image (the colour drawing), sketch (the black drawing).

Near-copies never cross a split. Two drawings are near-copies when their sketches agree with F1 >= NEAR_COPY;
whole connected components of that relation go to one split, and so do all skin tones of one drawing. The
flags share one empty rectangle, so their sketch says nothing: they are a slice of their own, in which
near-copies are rows whose colour drawings are almost the same picture.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import resvg_py
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from pipeline import media
from pipeline.media import Pixels
from pipeline.schema import HF_IMAGE
from pipeline.scores.sketch import lines, within_reach
from pipeline.seeds import digest
from pipeline.settings import Prepare, SettingsError

NEAR_COPY = 0.95
NEAR_PICTURE = 6.0  # mean absolute difference of grey levels under which two flags are the same picture
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SKIN_TONES = ("light", "medium-light", "medium", "medium-dark", "dark")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # OpenMoji's hexcode
        pa.field("text", pa.string()),
        pa.field("tags", pa.string()),
        pa.field("image", HF_IMAGE),
        pa.field("sketch", HF_IMAGE),
        pa.field("group", pa.string()),
        pa.field("slice", pa.string()),  # "drawings" | "flags"
        pa.field("base", pa.string()),  # hexcode of the drawing without skin tone
        pa.field("skin_tone", pa.string()),  # the one tone named in the text; null for none or two
        pa.field("component", pa.int32()),  # rows of one component stand in one split
        pa.field("split", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One OpenMoji record, rendered."""

    hexcode: str
    text: str
    tags: str
    group: str
    base: str  # hexcode of the drawing without skin tone
    skin_tone: str | None
    color: Pixels  # [S, S, 3]
    black: Pixels  # [S, S]


def from_package(settings: Prepare) -> pa.Table:
    """The data set of an unpacked package."""
    return table(read_package(Path(settings.input.path), int(settings.source.options["image_size"])))


def read_package(folder: Path, size: int) -> list[Drawing]:
    """All drawings of an unpacked `npm pack openmoji@17.0.0`, rendered at `size` pixels on white."""
    catalogue = folder / "data" / "openmoji.json"
    if not catalogue.is_file():
        raise SettingsError(
            f"{folder} is not an unpacked OpenMoji package (no data/openmoji.json); "
            "run: npm pack openmoji@17.0.0 && tar xzf openmoji-17.0.0.tgz, then input.path=package"
        )
    return [_drawing(folder, record, size) for record in json.loads(catalogue.read_text("utf-8"))]


def _drawing(folder: Path, record: dict[str, object], size: int) -> Drawing:
    hexcode, tone = str(record["hexcode"]), record["skintone"]
    return Drawing(
        hexcode=hexcode,
        text=str(record["annotation"]),
        tags=str(record["tags"]),
        group=str(record["group"]),
        base=str(record["skintone_base_hexcode"]) or hexcode,
        skin_tone=SKIN_TONES[tone - 1] if isinstance(tone, int) else None,
        color=media.decode_image(_render(folder / "color" / "svg" / f"{hexcode}.svg", size), media.Bounds()),
        black=media.decode_sketch(_render(folder / "black" / "svg" / f"{hexcode}.svg", size), media.Bounds()),
    )


def _render(svg: Path, size: int) -> bytes:
    return bytes(
        resvg_py.svg_to_bytes(svg_path=str(svg), width=size, height=size, background="#ffffff", skip_system_fonts=True)
    )


def pairwise_f1(sketches: Sequence[Pixels]) -> NDArray[np.float32]:
    """F1 between the lines of every two sketches [N, N], with the tolerance of scores/sketch.py."""
    marks = [lines(s) for s in sketches]
    exact = np.stack([m.ravel() for m in marks]).astype(np.float32)
    near = np.stack([within_reach(m).ravel() for m in marks]).astype(np.float32)
    share = (exact @ near.T) / np.maximum(exact.sum(1), 1)[:, None]  # of the row's lines, found in the column's
    return np.asarray(2 * share * share.T / np.maximum(share + share.T, 1e-9), dtype=np.float32)


def pairwise_difference(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
    """Mean absolute difference of grey levels between every two pictures [N, N]."""
    flat = np.stack([p.ravel() for p in pictures]).astype(np.int16)
    return np.stack([np.abs(flat - row).mean(1) for row in flat]).astype(np.float32)


def components(drawings: Sequence[Drawing]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """(component of each drawing [N], whether it is a flag [N])."""
    alike = pairwise_f1([d.black for d in drawings]) >= NEAR_COPY
    bases = np.unique([d.base for d in drawings], return_inverse=True)[1]
    alike |= bases[:, None] == bases[None, :]
    label = connected_components(csr_matrix(alike.astype(np.int8)), directed=False)[1].astype(np.int32)
    flag = label == label[next(i for i, d in enumerate(drawings) if d.text == "flag: France")]
    same = pairwise_difference([d.color for d, f in zip(drawings, flag, strict=True) if f]) <= NEAR_PICTURE
    label[flag] = label.max() + 1 + connected_components(csr_matrix(same.astype(np.int8)), directed=False)[1]
    return label, flag


def assign_splits(label: NDArray[np.int32], stratum: Sequence[str]) -> list[str]:
    """Split of each row: whole components, in an order of hashes, to the split that lacks most of its share
    within the stratum (of the component's first row)."""
    members: dict[int, list[int]] = {}
    for row, component in enumerate(label.tolist()):
        members.setdefault(component, []).append(row)
    filled: dict[str, dict[str, int]] = {s: dict.fromkeys(SHARES, 0) for s in stratum}
    split = [""] * len(label)
    for _, rows in sorted(members.items(), key=lambda item: digest("split", item[1][0])):
        counts = filled[stratum[rows[0]]]
        total = sum(counts.values()) + len(rows)
        chosen = max(SHARES, key=lambda name: SHARES[name] * total - counts[name])
        counts[chosen] += len(rows)
        for row in rows:
            split[row] = chosen
    return split


def table(drawings: Sequence[Drawing]) -> pa.Table:
    """All rows, with their split, as SCHEMA."""
    label, flag = components(drawings)
    slices = ["flags" if f else "drawings" for f in flag]
    split = assign_splits(label, [s if s == "flags" else d.group for s, d in zip(slices, drawings, strict=True)])
    columns = {
        "id": [d.hexcode for d in drawings],
        "text": [d.text for d in drawings],
        "tags": [d.tags for d in drawings],
        "image": [_image(d.color) for d in drawings],
        "sketch": [_image(d.black) for d in drawings],
        "group": [d.group for d in drawings],
        "slice": slices,
        "base": [d.base for d in drawings],
        "skin_tone": [d.skin_tone for d in drawings],
        "component": label.tolist(),
        "split": split,
    }
    return pa.table(columns, schema=SCHEMA)


def _image(pixels: Pixels) -> dict[str, object]:
    return {"bytes": media.encode_png(pixels), "path": None}
