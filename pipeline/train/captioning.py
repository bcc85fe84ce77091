"""stage=caption: a captioner, which writes a text to a picture a token at a time (Vinyals et al. 2015, Show and Tell).

A ViT (Dosovitskiy et al. 2021) looks, and a GPT-2 (Radford et al. 2019) with cross-attention writes. The result is a
folder of transformers' VisionEncoderDecoderModel with its image processor and tokenizer, for task=caption.

Loss: cross-entropy of a text's tokens, each by the picture and the tokens before it.

Options: `image_size`, `patch_size`, `width`, `layers` of the ViT, `text_layers` of the GPT-2, `dropout` of both,
`smoothing` of the targets, `vocabulary` (size of the byte-level BPE learned from the training texts),
`context_length` in tokens.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    GPT2Config,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

from pipeline import media
from pipeline.results.text import SIDE, written
from pipeline.scores.words import f1
from pipeline.settings import SettingsError
from pipeline.train import drawing
from pipeline.train.data import Batch, augment, colours, may_mirror, pictures, whole
from pipeline.train.picturing import pixels
from pipeline.train.settings import Train
from pipeline.train.stage import Drawn
from pipeline.train.tokenizer import END_ID, PAD_ID, START_ID, learn

HEAD = 32  # width of an attention head
IDS = {"bos_token_id": START_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID}


class Captioning:
    """Stage (train/stage.py) of stage=caption."""

    reader = staticmethod(functools.partial(pictures, needed=("text", "image")))

    def __init__(
        self, network: nn.Module, tokenizer: PreTrainedTokenizerFast, options: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        self.network, self.tokenizer, self.device = network, tokenizer, device
        self.smoothing, self.length = float(options["smoothing"]), int(options["context_length"])
        self.image_size = int(options["image_size"])

    @staticmethod
    def check(settings: Train) -> None:
        """Raises SettingsError for sizes that do not fit each other."""
        options = settings.stage.options
        if options["image_size"] % options["patch_size"] or options["width"] % HEAD:
            raise SettingsError(
                f"stage.options.image_size must be a multiple of stage.options.patch_size, and width of {HEAD}"
            )

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """Learns the tokenizer from the training texts, then builds the network."""
        options = settings.stage.options
        tokenizer = learn(_texts(settings), options["vocabulary"], options["context_length"])
        return cls(build(options, len(tokenizer)), tokenizer, options, device)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L], framed and padded."""
        return self.tokenizer(
            list(texts), return_tensors="pt", max_length=self.length, padding="longest", truncation=True
        ).input_ids.to(self.device)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Of moved pictures, with smoothed targets."""
        image = colours(batch["image"]).to(self.device)
        moved = augment(image, generator, may_mirror(list(batch["text"])))
        return self.error(network, moved, batch["text"], self.smoothing)

    def error(self, network: nn.Module, image: Tensor, texts: Sequence[str], smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy, in nats a token, of the texts to pictures [B, 3, S, S] in [0, 1]."""
        ids = self.ids(texts)
        given = {"decoder_input_ids": ids[:, :-1], "decoder_attention_mask": ids[:, :-1] != PAD_ID}
        logits = network(pixel_values=image * 2 - 1, **given, use_cache=False).logits
        return F.cross_entropy(
            logits.float().flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD_ID, label_smoothing=smoothing
        )

    @torch.no_grad()
    def captions(self, network: nn.Module, image: Tensor) -> list[str]:
        """The likeliest token after the other, for pictures [B, 3, S, S] in [0, 1]; by the network's forward alone."""
        ids = torch.full((len(image), 1), START_ID, device=image.device)
        seen: dict[str, Any] = {"pixel_values": image * 2 - 1}
        while ids.shape[1] < self.length and not (ids == END_ID).any(1).all():
            given = {"decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids)}
            found = network(**seen, **given, use_cache=False)
            seen = {"encoder_outputs": (found.encoder_last_hidden_state,)}
            ids = torch.cat([ids, found.logits[:, -1:].argmax(-1)], 1)
        behind = (ids == END_ID).cumsum(1) - (ids == END_ID).int() > 0
        return [
            t.strip() for t in self.tokenizer.batch_decode(ids.masked_fill(behind, PAD_ID), skip_special_tokens=True)
        ]

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The loss; of captions that are really written, the share of words in common and of those that are right."""
        image, texts = colours(batch["image"]).to(self.device), list(batch["text"])
        said = self.captions(network, image)
        return {
            "loss_text": float(self.error(network, image, texts)),
            "word_f1": sum(map(f1, said, texts)) / len(texts),
            "exact": sum(s == t.lower() for s, t in zip(said, texts, strict=True)) / len(texts),
        }

    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:  # noqa: ARG002
        """Pictures, what is written to them, and below it their own texts."""
        image = colours(batch["image"]).to(self.device)
        shown = [media.fit(picture, SIDE) for picture in pixels(image)]
        said = [written(text) for text in self.captions(network, image)]
        return Drawn({}, drawing.grid([shown, said, [written(text) for text in batch["text"]]]))

    def save(self, network: nn.Module, folder: Path) -> None:
        """As transformers loads it."""
        model: Any = network
        side = {"height": self.image_size, "width": self.image_size}
        for part in (model, self.tokenizer, ViTImageProcessor(size=side)):
            part.save_pretrained(folder)


def build(options: Mapping[str, Any], vocabulary: int) -> VisionEncoderDecoderModel:
    """A fresh network. Its pooler, which the layout has and nothing reads, does not learn."""
    width, drop = options["width"], options["dropout"]
    looks = ViTConfig(
        image_size=options["image_size"],
        patch_size=options["patch_size"],
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=options["layers"],
        num_attention_heads=width // HEAD,
        hidden_dropout_prob=drop,
    )
    writes = GPT2Config(
        vocab_size=vocabulary,
        n_positions=options["context_length"],
        n_embd=width,
        n_layer=options["text_layers"],
        n_head=width // HEAD,
        resid_pdrop=drop,
        embd_pdrop=drop,
        attn_pdrop=0.0,
        **IDS,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        looks, writes, decoder_start_token_id=START_ID, **IDS
    )
    network = VisionEncoderDecoderModel(config)
    network.encoder.pooler.requires_grad_(False)
    return network


def _texts(settings: Train) -> Iterator[str]:
    """Of all training rows that have one."""
    table = whole(settings.input, settings.train_where, ("text",))
    yield from (text for text in table["text"].to_pylist() if text)
