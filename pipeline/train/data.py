"""Parquet rows -> shuffled batches of arrays, through Ray Data: read, filtered and decoded off the trainer.

What is made of pictures, for the stages that train on them.
"""

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pipeline import media, storage, where
from pipeline.settings import Input, SettingsError
from pipeline.sources import check_columns
from pipeline.storage import Stored

PICTURES = {"image": (media.decode_image, 3), "sketch": (media.decode_sketch, 1)}  # and their channels
Batch = dict[str, Any]  # column -> array [B, ...]; text columns hold str
Places = NDArray[np.int64]
Order = Callable[[Batch, np.random.Generator], Places]  # places of rows, in the order in which they are trained on
Reader = Callable[[pa.Table], pa.Table]  # raw columns by role -> what batches are made of; unreadable rows left out


def rows(source: Input, condition: str | None, reader: Reader, seed: int | None = None) -> ray.data.Dataset:
    """Rows of the input that match `condition`, as a stage's `reader` makes them of its columns, named by role. They
    come in the input's order, or its row groups in an order drawn from a seed: the same at every call."""
    groups = [
        {"uri": f.uri, "group": g}
        for f in parquet_files(source)
        for g in range(_parquet(f.uri).metadata.num_row_groups)
    ]
    if seed is not None:
        random.Random(seed).shuffle(groups)  # noqa: S311 - no secret
    columns = {role: name for role, name in source.columns.items() if name}

    def read(unit: pa.Table) -> pa.Table:
        table = _read_group(unit["uri"][0].as_py(), unit["group"][0].as_py(), columns, condition)
        return reader(table)

    items = ray.data.from_items(groups, override_num_blocks=len(groups))
    dataset = items.map_batches(read, batch_size=1, batch_format="pyarrow")
    dataset.context.execution_options.preserve_order = True
    return dataset


def count(source: Input, condition: str | None) -> int:
    """Rows of the input that match `condition`, whether or not they can be read."""
    expression, needed = where.parse(condition) if condition else (None, ())
    total = 0
    for file in parquet_files(source):
        parquet = _parquet(file.uri)
        if expression is None:
            total += parquet.metadata.num_rows
        else:
            total += sum(
                len(parquet.read_row_group(g, columns=[*needed]).filter(expression))
                for g in range(parquet.num_row_groups)
            )
    return total


def whole(source: Input, condition: str | None, roles: Sequence[str]) -> pa.Table:
    """The columns of these roles, as far as the input has them, of all rows that match `condition`, at once."""
    columns = {role: name for role in roles if (name := source.columns.get(role))}
    return pa.concat_tables(
        _read_group(file.uri, group, columns, condition)
        for file in parquet_files(source)
        for group in range(_parquet(file.uri).metadata.num_row_groups)
    )


def check(source: Input, condition: str | None, reader: Reader) -> None:
    """Raises SettingsError for a column that the input lacks, or that the reader cannot do without."""
    uri = parquet_files(source)[0].uri
    there = _parquet(uri).schema_arrow
    check_columns(source, uri, there, condition)
    nothing = there.empty_table()
    reader(pa.table({role: nothing[name] for role, name in source.columns.items() if name}))


def parquet_files(source: Input) -> list[Stored]:
    """The input's files. Raises SettingsError where there are none."""
    files = storage.match_objects(source.path, ".parquet")
    if not files:
        raise SettingsError(f"input.path={source.path}: there is no Parquet file; jobs/prepare.py makes one")
    return files


def _parquet(uri: str) -> pq.ParquetFile:
    fs, path = storage.filesystem(uri)
    return pq.ParquetFile(fs.open(path, "rb"))


def _read_group(uri: str, group: int, columns: dict[str, str], condition: str | None) -> pa.Table:
    expression, needed = where.parse(condition) if condition else (None, ())
    table = _parquet(uri).read_row_group(group, columns=[*dict.fromkeys([*columns.values(), *needed])])
    if expression is not None:
        table = table.filter(expression)
    return pa.table({role: table[name] for role, name in columns.items()})


def pictures(options: Mapping[str, Any], needed: Sequence[str]) -> Reader:
    """Reader of pairs: text and tags as str, image and sketch as raw pixels of one size. A row may lack what is not
    `needed`: has_text, has_image and has_sketch say what it has; what it lacks is "" or white."""
    return functools.partial(_pictures, size=int(options["image_size"]), needed=needed)


def _pictures(table: pa.Table, size: int, needed: Sequence[str]) -> pa.Table:
    """Rows that have what is needed, and nothing that cannot be read."""
    if lacking := [role for role in needed if role not in table.column_names]:
        raise SettingsError(f"this training needs input.columns.{lacking[0]}= to name a column")
    bounds = media.Bounds()
    out: dict[str, list[Any]] = {}
    for role in table.column_names:
        if role not in PICTURES:
            out[role] = [_text(v, bounds) for v in table[role].to_pylist()]
    nothing = [None] * len(table)
    for role, (decode, channels) in PICTURES.items():
        values = table[role].to_pylist() if role in table.column_names else nothing
        found = [_picture(decode, v, size) for v in values]
        white = b"\xff" * (size * size * channels)
        out[role] = [white if f == b"" else f for f in found]
        out[f"has_{role}"] = [f != b"" for f in found]
    out["tags"] = out.get("tags", [""] * len(table))
    out["text"] = out.get("text", [""] * len(table))
    out["has_text"] = [t != "" for t in out["text"]]
    rows = pa.table({name: pa.array(values, _type(name)) for name, values in out.items()}).drop_null()
    for role in needed:
        rows = rows.filter(rows[f"has_{role}"])
    return rows


def _type(name: str) -> pa.DataType:
    return pa.bool_() if name.startswith("has_") else pa.binary() if name in PICTURES else pa.string()


def _text(value: Any, bounds: media.Bounds) -> str | None:
    """A text; "" where there is none; None where it cannot be read."""
    try:
        return media.field_text(value, bounds) or ""
    except media.MediaError:
        return None


def _picture(decode: Callable[[bytes, media.Bounds], media.Pixels], value: Any, size: int) -> bytes | None:
    """Raw pixels; none where there is no picture; None where it cannot be read."""
    try:
        data = media.field_bytes(value)
        return media.fit(decode(data, media.Bounds()), size).tobytes() if data else b""
    except media.MediaError:
        return None


def told(batch: Batch, role: str) -> Tensor:
    """[B] which rows of a batch have this."""
    return torch.from_numpy(np.array(batch[f"has_{role}"], bool))


def passes(rows: ray.data.Dataset, count: int) -> ray.data.Dataset:
    """The rows several times over, as one data set: Ray Data takes seconds to begin, which is not done in each pass."""
    return rows.union(*[rows] * (count - 1)) if count > 1 else rows


def window(rows: int, batch_size: int, most: int) -> int:
    """Rows among which a worker draws its batches that has so many in a pass: all of them, so that none comes twice
    in a batch, or of a larger set about `most`, which it holds at once."""
    return rows if rows <= most else max(1, most // batch_size) * batch_size


def batch_count(rows: int, count: int, batch_size: int, most: int) -> int:
    """Batches that `batches` makes of `count` passes over a worker's rows."""
    whole_passes = window(rows, batch_size, most) == rows
    return count * (rows // batch_size) if whole_passes else count * rows // batch_size


def at_random(rows: Batch, rng: np.random.Generator) -> Places:
    """All rows, in any order."""
    return rng.permutation(len(next(iter(rows.values()))))


def batches(shard: Any, batch_size: int, chunk: int, seed: int, order: Order = at_random) -> Iterator[Batch]:
    """Shuffled batches of a worker's shard, drawn from so many of its rows at a time (`window`)."""
    chunks = shard.iter_batches(batch_size=chunk, batch_format="numpy")
    return shuffled(chunks, batch_size, np.random.default_rng(seed), order)


def shuffled(
    chunks: Iterable[Batch], batch_size: int, rng: np.random.Generator, order: Order = at_random
) -> Iterator[Batch]:
    """Whole batches of the rows of each chunk in that order; what is left of it is dropped."""
    for chunk in chunks:
        places = order(chunk, rng)
        for start in range(0, len(places) - batch_size + 1, batch_size):
            chosen = places[start : start + batch_size]
            yield {name: values[chosen] for name, values in chunk.items()}


def to_tensors(batch: Batch, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(image [B, 3, S, S], sketch [B, 1, S, S]) of a batch, in [0, 1], on a device."""
    image = colours(batch["image"])
    return image.to(device), _pixels(batch["sketch"]).view(-1, 1, *image.shape[2:]).to(device)


def colours(column: Any) -> Tensor:
    """Pictures [B, 3, S, S] in [0, 1] of a column of raw pixels."""
    pixels = _pixels(column)
    size = round((pixels.numel() / len(column) / 3) ** 0.5)
    return pixels.view(-1, size, size, 3).permute(0, 3, 1, 2)


def _pixels(column: Any) -> Tensor:
    """All bytes of a column of raw pixels, in [0, 1]."""
    return torch.frombuffer(bytearray(b"".join(column)), dtype=torch.uint8).float() / 255


def caption(text: str, tags: str, rng: np.random.Generator) -> str:
    """What a person might have typed: the annotation, three times in ten with some of the tags, and half the time
    without four in ten of its words, so that a picture is not learnt by heart from one wording."""
    words = [w.strip() for w in tags.split(",") if w.strip()]
    if words and text and rng.random() < 0.3:
        chosen = rng.choice(words, size=min(len(words), int(rng.integers(1, 4))), replace=False)
        text = ", ".join([text, *chosen.tolist()])
    if rng.random() < 0.5:
        return text
    kept = [w for w in text.split() if rng.random() >= 0.4]
    return " ".join(kept) or text


def augment(pictures: Tensor, generator: torch.Generator, may_flip: Tensor) -> Tensor:
    """Half of the pictures [B, C, S, S] in [0, 1] shrunk or grown and moved on their white ground; of those that
    `may_flip` [B], half are mirrored. All channels of a row move together."""
    rows = len(pictures)
    moved = torch.rand(rows, generator=generator) < 0.5
    scale = torch.where(moved, 0.85 + 0.4 * torch.rand(rows, generator=generator), torch.ones(rows))
    mirror = torch.where(may_flip & (torch.rand(rows, generator=generator) < 0.5), -1.0, 1.0)
    theta = torch.zeros(rows, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirror, scale
    theta[:, :, 2] = (torch.rand(rows, 2, generator=generator) - 0.5) * 0.3 * moved[:, None]
    grid = F.affine_grid(theta.to(pictures.device), list(pictures.shape), align_corners=False)
    return 1 - F.grid_sample(1 - pictures, grid, align_corners=False)


def may_mirror(texts: list[str]) -> Tensor:
    """[B] whether a drawing stays true to its text in the mirror: not if it speaks of a side or holds letters."""
    sided = ("left", "right", "clock", "letter", "button", "keycap", "flag", "digit", "sign")
    return torch.tensor([not any(word in text for word in sided) for text in texts])
