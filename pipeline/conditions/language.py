"""Words by any text encoder of transformers (BERT, Devlin et al. 2019; RoBERTa; the encoder of a T5; …) from a folder.

Such a model has never seen a picture, unlike a CLIP's text tower. Weights are read from safetensors alone, and no code
that comes with a model is run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from pipeline.conditions import Condition, EncoderContext
from pipeline.settings import SettingsError

LENGTH = 77  # tokens of a text, as of CLIP's (Radford et al. 2021); the rest is cut off


class LanguageEncoder:
    """Text -> its last hidden states, and their mean over its tokens."""

    def __init__(self, network: Any, tokenizer: Any, device: str = "cpu") -> None:
        own = network.get_encoder() if network.config.is_encoder_decoder else network
        self.network = own.to(device).eval().requires_grad_(False)
        self.tokenizer, self.device = tokenizer, device
        # One length for all texts, so that none has a say in how another is encoded.
        self.length = min(LENGTH, tokenizer.model_max_length, getattr(own.config, "max_position_embeddings", LENGTH))

    @classmethod
    def load(cls, context: EncoderContext) -> Self:
        """Of <model>/language."""
        return cls.of(Path(context.folder) / "language", context.device)

    @classmethod
    def of(cls, folder: Path, device: str = "cpu") -> Self:
        """Of a folder as transformers saves it. Raises SettingsError for one that holds no such model."""
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            network = AutoModel.from_pretrained(folder, use_safetensors=True, **local)
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{folder} holds no text encoder that can be loaded: {error}") from None
        if tokenizer.pad_token is None:
            raise SettingsError(f"{folder}: its tokenizer has no padding token")
        return cls(network.float(), tokenizer, device)

    @property
    def widths(self) -> dict[str, int]:
        """Sizes of its evidence: "tokens" and "pooled", both the hidden states' D."""
        width = int(self.network.config.hidden_size)
        return {"tokens": width, "pooled": width}

    @torch.no_grad()
    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of B texts; a missing text is encoded as the empty one and marked absent."""
        texts = [value or "" for value in values]
        given = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self.device)
        mask: Tensor = given["attention_mask"].bool()
        tokens: Tensor = self.network(input_ids=given["input_ids"], attention_mask=mask.long()).last_hidden_state
        shares = mask / mask.sum(1, keepdim=True).clamp_min(1)
        pooled = (tokens * shares[..., None]).sum(1)
        return Condition(tokens, mask, pooled, (), torch.tensor([value is not None for value in values]))
