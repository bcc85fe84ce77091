"""Tiny random-weight captioners in exactly the layouts in which they are published: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from pipeline.train.tokenizer import END_ID, PAD_ID, START_ID, learn
from tests.tiny import COLOURS

SIDE, PATCH, WIDTH = 32, 8, 32
LAYERS = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": WIDTH}
VISION = {**LAYERS, "image_size": SIDE, "patch_size": PATCH}
IDS = {"bos_token_id": START_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID}


def _tokenizer() -> Any:
    return learn([f"a {colour} box" for colour in COLOURS], 300, 16)


def _blip(folder: Path) -> None:
    tokenizer = _tokenizer()
    text = {**LAYERS, **IDS, "vocab_size": len(tokenizer), "encoder_hidden_size": WIDTH, "projection_dim": WIDTH}
    text |= {"sep_token_id": END_ID, "max_position_embeddings": 16, "is_decoder": True}
    config = transformers.BlipConfig(text_config=text, vision_config={**VISION, "projection_dim": WIDTH})
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    _rest(folder, tokenizer, transformers.BlipImageProcessor(size={"height": SIDE, "width": SIDE}))


def _blip_2(folder: Path) -> None:
    tokenizer = _tokenizer()
    written = {**IDS, "hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": WIDTH}
    written |= {"word_embed_proj_dim": WIDTH, "vocab_size": len(tokenizer) + 1, "max_position_embeddings": 32}
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={**LAYERS, "encoder_hidden_size": WIDTH},
        text_config={"model_type": "opt", **written},
        num_query_tokens=4,
        image_token_index=len(tokenizer),
    )
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(folder)
    _rest(folder, tokenizer, transformers.BlipImageProcessor(size={"height": SIDE, "width": SIDE}))


def _git(folder: Path) -> None:
    tokenizer = _tokenizer()
    text = {**LAYERS, **IDS, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    transformers.GitForCausalLM(transformers.GitConfig(vision_config=VISION, **text)).save_pretrained(folder)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    _rest(folder, tokenizer, transformers.CLIPImageProcessor(**size))


def _encoder_decoder(folder: Path) -> None:
    tokenizer = _tokenizer()
    text = {**IDS, "n_embd": WIDTH, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": len(tokenizer)}
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**VISION), transformers.GPT2Config(**text), decoder_start_token_id=START_ID, **IDS
    )
    transformers.VisionEncoderDecoderModel(config).save_pretrained(folder)
    _rest(folder, tokenizer, transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


def _rest(folder: Path, tokenizer: Any, processor: Any) -> None:
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)


KNOWN: dict[str, Callable[[Path], None]] = {
    "blip": _blip,
    "blip-2": _blip_2,
    "git": _git,
    "vision-encoder-decoder": _encoder_decoder,
}


def folder(name: str, root: Path) -> Path:
    """The folder of a random captioner of an architecture, made below `root`."""
    torch.manual_seed(0)
    KNOWN[name](root / name)
    return root / name
