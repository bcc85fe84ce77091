"""Tiny random-weight models and inputs in exactly the forms that real ones have: fast, and just as loadable.

Models import what makes them when they are made: a process that needs inputs alone is spared torch, for seconds.
"""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from pipeline.models import checkpoint
from pipeline.schema import HF_IMAGE

SIZE = 32
COLOURS = ("red", "green", "blue", "yellow", "black")
CLIP_OPTIONS = {
    "image_size": SIZE,
    "pairs": [["image", "text"], ["sketch", "text"]],
    "hardness": 0,
    "tower": "vit",
    "width": 32,
    "layers": 1,
    "text_width": 32,
    "text_layers": 1,
    "embed_dim": 16,
    "vocabulary": 300,
    "context_length": 12,
}


def clip_folder(folder: Path, seed: int) -> Path:
    """A random CLIP as an open_clip folder with checksums."""
    import torch

    from pipeline.train.alignment import Alignment
    from pipeline.train.tokenizer import learn

    torch.manual_seed(seed)
    tokenizer = learn([f"a {c} box" for c in COLOURS], CLIP_OPTIONS["vocabulary"], CLIP_OPTIONS["context_length"])
    stage = Alignment.with_tokenizer(CLIP_OPTIONS, tokenizer)
    stage.save(stage.network, folder)
    checkpoint.write_checksums(folder)
    return folder


def language_folder(folder: Path, seed: int) -> Path:
    """A random BERT with a byte-level tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from pipeline.train.tokenizer import learn

    torch.manual_seed(seed)
    tokenizer = learn(["a red box", "a blue box", "a green box"], 300, 32)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=40, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def generator_folder(folder: Path, clip: Path, seed: int = 0) -> Path:
    """A random sketch-to-image generator."""
    import torch
    from diffusers import AutoencoderTiny

    from pipeline.conditions.clip import Clip
    from pipeline.models import image
    from pipeline.train.denoising import noise_schedule

    torch.manual_seed(seed)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=4,
    )
    own = Clip.load(str(clip)).widths
    widths = {"text": own, "sketch": {"tokens": own["pooled"], "pooled": own["pooled"]}}
    network = image.build(SIZE, 4, widths, (32, 32), {})
    parts = {name: getattr(network, name) for name in ("unet", "adapter", "fusion")}
    vae.save_pretrained(folder.with_name("vae"))
    checkpoint.save_generator(
        folder, {**parts, "scheduler": noise_schedule()}, {"clip": clip, "vae": folder.with_name("vae")}
    )
    return folder


def picture(index: int) -> tuple[Image.Image, Image.Image]:
    """(coloured box, its outline)."""
    rng = np.random.default_rng(index)
    x, y = rng.integers(2, 12, 2).tolist()
    box = (x, y, x + int(rng.integers(8, 18)), y + int(rng.integers(8, 18)))
    colour, sketch = Image.new("RGB", (SIZE, SIZE), "white"), Image.new("L", (SIZE, SIZE), 255)
    ImageDraw.Draw(colour).rectangle(box, COLOURS[index % len(COLOURS)], "black")
    ImageDraw.Draw(sketch).rectangle(box, None, 0)
    return colour, sketch


def png(drawn: Image.Image) -> bytes:
    """As PNG bytes."""
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def rows(count: int) -> list[dict[str, object]]:
    """Paired rows: id, text, image, sketch, group."""
    made = []
    for i in range(count):
        colour, sketch = picture(i)
        made.append(
            {
                "id": f"box-{i:03d}",
                "text": f"a {COLOURS[i % len(COLOURS)]} box",
                "tags": "square, shape",
                "image": {"bytes": png(colour), "path": None},
                "sketch": {"bytes": png(sketch), "path": None},
                "group": "even" if i % 2 == 0 else "odd",
                "n": i,
            }
        )
    return made


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("tags", pa.string()),
        ("image", HF_IMAGE),
        ("sketch", HF_IMAGE),
        ("group", pa.string()),
        ("n", pa.int64()),
    ]
)


def write(path: Path, made: list[dict[str, object]], row_group_rows: int = 4) -> Path:
    """Rows as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(made, SCHEMA), path, row_group_size=row_group_rows)
    return path
