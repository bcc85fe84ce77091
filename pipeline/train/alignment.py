"""stage=align: a small CLIP that puts text, image and sketch into one space.

Symmetric InfoNCE (contrast.py) between the modalities of each of `pairs`, over the rows that have both. Sketches are
shared: the skin tones of one drawing differ only in their text and colours. Rows of a batch with the same sketch are
therefore all positives of each other in the losses of sketches, with equal shares.

Options: `pairs` of "text", "image" and "sketch", `hardness` of negatives (contrast.py: harder), `tower` "vit" |
"resnet" (the two starter CLIPs differ in it), `width` and `layers` of the towers, `embed_dim`, `vocabulary` (size of
the byte-level BPE learned from the training texts), `context_length`.
"""

import functools
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from pipeline import media
from pipeline.conditions.clip import save as save_clip
from pipeline.report import tsne
from pipeline.settings import SettingsError
from pipeline.train import contrast, parallel
from pipeline.train.data import Batch, augment, caption, may_mirror, pictures, to_tensors, told, whole
from pipeline.train.settings import Train
from pipeline.train.stage import Drawn
from pipeline.train.tokenizer import END_ID, learn

PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
MODALITIES = ("image", "sketch", "text")
MAPPED = 250  # rows on the map of the space
ROWS = 128  # that are embedded at once
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
    return {
        "embed_dim": options["embed_dim"],
        "vision_cfg": vision,
        "text_cfg": text,
        "nonscalar_logit_scale": True,  # FSDP2 shares no scalars
    }


class Alignment:
    """Stage (train/stage.py) of stage=align."""

    reader = staticmethod(functools.partial(pictures, needed=()))
    device = "cpu"

    def __init__(
        self,
        network: nn.Module,
        config: dict[str, Any],
        tokenizer: PreTrainedTokenizerFast,
        pairs: Sequence[Sequence[str]],
        hardness: float,
    ) -> None:
        self.network, self.config, self.tokenizer = network, config, tokenizer
        self.pairs, self.hardness = pairs, hardness
        self.context_length = config["model_cfg"]["text_cfg"]["context_length"]

    @staticmethod
    def check(settings: Train) -> None:
        """Raises SettingsError for pairs that there are not."""
        checked(settings.stage.options["pairs"])

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
        config = {"model_cfg": {**model, "custom_text": True}, "preprocess_cfg": PREPROCESS}
        return cls(network, config, tokenizer, checked(options["pairs"]), float(options["hardness"]))

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L]."""
        return self.tokenizer(
            list(texts), return_tensors="pt", max_length=self.context_length, padding="max_length", truncation=True
        ).input_ids.to(self.device)

    def pictures(self, image: Tensor, sketch: Tensor) -> Tensor:
        """Images [B, 3, S, S] and sketches [B, 1, S, S] as one batch for the vision tower [2B, 3, S, S]."""
        return torch.cat([image, sketch.expand_as(image)]) * 2 - 1  # as PREPROCESS says

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean of the pairs' losses, over all workers' rows."""
        image, sketch = to_tensors(batch, self.device)
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        texts = [caption(t, g, rng) for t, g in zip(batch["text"], batch["tags"], strict=True)]
        moved = augment(torch.cat([image, sketch], 1), generator, may_mirror(list(batch["text"])))
        vectors, scale = self.embedded(network, moved[:, :3], moved[:, 3:], texts)
        vectors = {m: parallel.gathered(v) for m, v in vectors.items()}
        has = {m: parallel.gathered(told(batch, m).to(self.device).float()) > 0 for m in MODALITIES}
        drawn = parallel.gathered(sketch.flatten(1))
        same = (torch.cdist(drawn, drawn, p=1) / drawn.shape[1] < SAME_SKETCH).float()
        alone = torch.eye(len(same), device=same.device)
        losses = [
            contrast.between(
                *(vectors[one], vectors[two], has[one] & has[two], scale),
                same if "sketch" in (one, two) else alone,
                self.hardness,
            )
            for one, two in self.pairs
        ]
        known = [loss for loss in losses if loss is not None]
        nothing = 0 * scale.sum() + sum(0 * v.sum() for v in vectors.values())  # every parameter has a gradient
        return nothing + sum(known) / max(1, len(known))

    def embedded(
        self, network: nn.Module, image: Tensor, sketch: Tensor, texts: Sequence[str]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """(unit vectors [B, E] of each modality, factor of their cosines)."""
        out = network(image=self.pictures(image, sketch), text=self.ids(texts))
        images, sketches = out[0].float().chunk(2)
        return {"image": images, "sketch": sketches, "text": out[1].float()}, out[2].float()

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Recall at 1 among the rows of the batch that have both, each way."""
        figures = contrast.found(self._spaces(network, batch), presence(batch), self.pairs)
        return {name: value for name, value in figures.items() if name.endswith("_r1")}

    @torch.no_grad()
    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:  # noqa: ARG002
        """Recall at 1, 5 and 10 among all given rows that have both, modality gaps, a map of the space."""
        spaces, has = self._spaces(network, batch), presence(batch)
        figures = contrast.found(spaces, has, list(itertools.combinations(MODALITIES, 2)))
        shown = {m: v[has[m]][:MAPPED] for m, v in spaces.items()}
        kinds = [m for m, v in shown.items() for _ in v]
        if len(kinds) < tsne.LEAST:
            return Drawn(figures, np.zeros((0, 0, 3), np.uint8))
        places = tsne.embed(np.concatenate(list(shown.values())))
        picture = media.decode_image(tsne.draw(places, kinds, {}).png, media.Bounds())
        return Drawn(figures, picture)

    def _spaces(self, network: nn.Module, batch: Batch) -> dict[str, NDArray[np.float32]]:
        """Unit vectors [B, E] of the rows of a batch; of padding where a row lacks a modality."""
        image, sketch = to_tensors(batch, self.device)
        parts = []
        for rows in torch.arange(len(image)).split(ROWS):
            texts = [batch["text"][i] for i in rows.tolist()]
            parts.append(self.embedded(network, image[rows], sketch[rows], texts)[0])
        return {m: torch.cat([p[m] for p in parts]).cpu().numpy() for m in MODALITIES}

    def save(self, network: nn.Module, folder: Path) -> None:
        """An open_clip folder with its tokenizer."""
        save_clip(network, self.config, folder)
        self.tokenizer.save_pretrained(folder)


def presence(batch: Batch) -> dict[str, NDArray[np.bool_]]:
    """Modality -> [B] which rows have it."""
    return {m: told(batch, m).numpy() for m in MODALITIES}


def checked(pairs: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Pairs of two known modalities. Raises SettingsError for others."""
    for pair in pairs:
        if len(set(pair)) != 2 or not set(pair) <= set(MODALITIES):
            raise SettingsError(f"stage.options.pairs={list(pair)} must be two of {', '.join(MODALITIES)}")
    if not pairs:
        raise SettingsError("stage.options.pairs needs at least one pair, e.g. [[image,text]]")
    return pairs


def _texts(settings: Train) -> list[str]:
    """All training texts and tags."""
    table = whole(settings.input, settings.train_where, ("text", "tags"))
    return [v for values in table.columns for v in values.to_pylist() if v]
