"""Words -> what the text encoders of a published checkpoint make of them (CLIP's, two CLIPs', two CLIPs' and a T5's).

Diffusers' own pipelines encode them, made of nothing but the checkpoint's text encoders and tokenisers, so that a
prompt means here what it means there. `Negatives` is what stands in a prompt's place in a branch without it.

Options of the task: `pipeline`, the class in diffusers that encodes; `negative_prompt` of rows that have none of their
own (null: the checkpoint's own way of saying nothing); `max_sequence_length` of a T5 (null: the pipeline's).
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from pipeline.conditions import Condition, EncoderContext
from pipeline.lora import fuse


class TextEncoders:
    """The text encoders of a checkpoint."""

    def __init__(self, pipeline: Any, device: str, options: Mapping[str, Any]) -> None:
        self.pipeline, self.device = pipeline.to(device), device
        self.takes = inspect.signature(pipeline.encode_prompt).parameters
        length = options.get("max_sequence_length")
        given = {"device": device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        given |= {"max_sequence_length": length} if length else {}
        given |= {"prompt_2": None, "prompt_3": None}  # one prompt for all encoders
        self.given = {name: value for name, value in given.items() if name in self.takes}

    @classmethod
    def shared(cls, context: EncoderContext) -> "TextEncoders":
        """Those of the context's model, loaded once."""
        made: TextEncoders = context.share("prompts", lambda: cls.load(context))
        return made

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """Of a folder in the published layout, its LoRAs fused in."""
        import diffusers

        folder = Path(context.folder)
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        name = context.options["pipeline"]
        parts = {n for n in index if n.startswith(("text_encoder", "tokenizer"))}
        others = dict.fromkeys({n for n, value in index.items() if isinstance(value, list)} - parts)
        loading = {"torch_dtype": context.dtype, "local_files_only": True}
        safe = None if context.trust_pickle else True
        pipeline = getattr(diffusers, name).from_pretrained(folder, **others, **loading, use_safetensors=safe)
        for part in ("text_encoder", "text_encoder_2"):
            for lora, scale in context.loras if getattr(pipeline, part, None) else ():
                fuse(name, part, getattr(pipeline, part), lora, scale)
        return cls(pipeline, context.device, context.options)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Of B texts: tokens [B, L, D], and what the network takes for all of each, [B, E]; zeros where it does not."""
        tokens, *others = self.pipeline.encode_prompt(prompt=list(texts), **self.given)
        # (tokens, negative) | (tokens, pooled, ids) | (tokens, negative, pooled, negative pooled)
        pooled = others[len(others) - 2] if len(others) > 1 else None
        pooled = tokens.new_zeros(len(texts), 1) if pooled is None else pooled
        return tokens.float(), pooled.float()


class Prompts:
    """Text -> Condition."""

    def __init__(self, encoders: TextEncoders) -> None:
        self.encoders = encoders

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """With the checkpoint's text encoders."""
        return cls(TextEncoders.shared(context))

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B texts; a missing one is encoded as the empty one and marked absent."""
        tokens, pooled = self.encoders([value or "" for value in values])
        return _condition(tokens, pooled, values)


class Negatives:
    """Text -> Condition of what a picture is not to be, or of nothing: never absent."""

    def __init__(self, encoders: TextEncoders, default: str | None) -> None:
        self.encoders, self.default = encoders, default
        # SDXL was trained with zeros in place of a prompt.
        self.zeros = bool(encoders.pipeline.config.get("force_zeros_for_empty_prompt", False))

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """With the checkpoint's text encoders and the task's option `negative_prompt`."""
        return cls(TextEncoders.shared(context), context.options.get("negative_prompt"))

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B negative prompts, the default in place of missing ones."""
        chosen = [self.default if value is None else value for value in values]
        tokens, pooled = self.encoders([value or "" for value in chosen])
        if self.zeros:
            said = torch.tensor([value is not None for value in chosen], device=tokens.device)
            tokens, pooled = tokens * said[:, None, None], pooled * said[:, None]
        return _condition(tokens, pooled, [""] * len(values))


def _condition(tokens: Tensor, pooled: Tensor, values: Sequence[str | None]) -> Condition:
    present = torch.tensor([value is not None for value in values])
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return Condition(tokens.cpu(), mask, pooled.cpu(), (), present)
