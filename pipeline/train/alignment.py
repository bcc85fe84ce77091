"""stage=align: a small CLIP that puts text, image and sketch into one space.

Symmetric InfoNCE (Radford et al. 2021) between image and text, and between sketch and text. Sketches are
shared: the skin tones of one drawing differ only in their text. Rows of a batch with the same sketch are
therefore all positives of each other in the sketch-text loss, with equal shares.

Options: `tower` "vit" | "resnet" (the two starter CLIPs differ in it), `width` and `layers` of the towers,
`embed_dim`, `vocabulary` (size of the byte-level BPE learned from the training texts), `context_length`.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from pipeline.conditions.clip import save as save_clip
from pipeline.train.data import Batch, augment, caption, may_mirror, pictures, to_tensors, whole
from pipeline.train.settings import Train
from pipeline.train.tokenizer import END_ID, learn

PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
SAME_SKETCH = 0.01  # mean absolute difference in [0, 1] under which two sketches are one


def model_config(options: Mapping[str, Any], image_size: int, vocabulary: int) -> dict[str, Any]:
    """The open_clip model config of a tower."""
    width = options["width"]
    vision: dict[str, Any] = {"image_size": image_size, "width": width}
    if options["tower"] == "vit":
        vision |= {"layers": options["layers"], "head_width": 32, "patch_size": 8}
    else:
        vision |= {"layers": [1, 1, 1, 1]}  # a list makes open_clip build its ModifiedResNet
    text = {
        "context_length": options["context_length"],
        "vocab_size": vocabulary,
        "hf_tokenizer_name": "tokenizer.json beside this file",
        "width": options["text_width"],
        "heads": options["text_width"] // 32,
        "layers": options["text_layers"],
        "pool_type": "eos",
        "eos_id": END_ID,
    }
    return {"embed_dim": options["embed_dim"], "vision_cfg": vision, "text_cfg": text}


class Alignment:
    """Stage (train/stage.py) of stage=align."""

    reader = staticmethod(pictures)
    device = "cpu"

    def __init__(self, network: nn.Module, config: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> None:
        self.network, self.config, self.tokenizer = network, config, tokenizer
        self.context_length = config["model_cfg"]["text_cfg"]["context_length"]

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """Learns the tokenizer from the training texts, then builds the towers."""
        options = settings.stage.options
        tokenizer = learn(_texts(settings), options["vocabulary"], options["context_length"])
        stage = cls.with_tokenizer(options, tokenizer)
        stage.device = device
        return stage

    @classmethod
    def with_tokenizer(cls, options: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> Self:
        """Fresh towers over a tokenizer."""
        model = model_config(options, options["image_size"], len(tokenizer))
        logging.getLogger().setLevel(logging.WARNING)  # open_clip reports every step of building at INFO
        network = open_clip.CustomTextCLIP(**model)
        return cls(network, {"model_cfg": {**model, "custom_text": True}, "preprocess_cfg": PREPROCESS}, tokenizer)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L]."""
        return self.tokenizer(
            list(texts), return_tensors="pt", max_length=self.context_length, padding="max_length", truncation=True
        ).input_ids.to(self.device)

    def pictures(self, image: Tensor, sketch: Tensor) -> Tensor:
        """Images [B, 3, S, S] and sketches [B, 1, S, S] as one batch for the vision tower [2B, 3, S, S]."""
        return torch.cat([image, sketch.expand_as(image)]) * 2 - 1  # as PREPROCESS says

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean of the image-text and the sketch-text loss."""
        image, sketch = to_tensors(batch, self.device)
        same = (torch.cdist(sketch.flatten(1), sketch.flatten(1), p=1) / sketch[0].numel() < SAME_SKETCH).float()
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        texts = [caption(t, g, rng) for t, g in zip(batch["text"], batch["tags"], strict=True)]
        moved = augment(torch.cat([image, sketch], 1), generator, may_mirror(list(batch["text"])))
        out = network(image=self.pictures(moved[:, :3], moved[:, 3:]), text=self.ids(texts))
        vision, text, scale = out[0].float(), out[1].float(), out[2].float()
        image_logits, sketch_logits = (scale * v @ text.T for v in vision.chunk(2))
        own = torch.eye(len(same), device=same.device)
        return (contrastive(image_logits, own) + contrastive(sketch_logits, same)) / 2

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Recall at 1 among the rows of the batch, each way."""
        image, sketch = to_tensors(batch, self.device)
        out = network(image=self.pictures(image, sketch), text=self.ids(list(batch["text"])))
        v, s = out[0].chunk(2)
        return {
            "image_to_text_r1": recall_at_1(v @ out[1].T),
            "text_to_image_r1": recall_at_1(out[1] @ v.T),
            "sketch_to_image_r1": recall_at_1(s @ v.T),
        }

    def save(self, network: nn.Module, folder: Path) -> None:
        """An open_clip folder with its tokenizer."""
        save_clip(network, self.config, folder)
        self.tokenizer.save_pretrained(folder)


def contrastive(logits: Tensor, positives: Tensor) -> Tensor:
    """Symmetric cross-entropy of logits [B, B] where positives [B, B] share each row's probability equally."""
    rows, columns = positives / positives.sum(1, keepdim=True), positives.T / positives.T.sum(1, keepdim=True)
    return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, columns)) / 2


def recall_at_1(similarity: Tensor) -> float:
    """Share of rows [B, B] whose own column is the nearest."""
    return float((similarity.argmax(1) == torch.arange(len(similarity), device=similarity.device)).float().mean())


def _texts(settings: Train) -> list[str]:
    """All training texts and tags."""
    table = whole(settings.input, settings.train_where, ("text", "tags"))
    return [v for values in table.columns for v in values.to_pylist() if v]
