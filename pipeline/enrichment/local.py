"""A language model of a transformers folder: safetensors alone, no code from outside.

A text's answer does not depend on its neighbours. Prompts are read in batches of one fixed number of rows and of few
widths (padded on the left), and each row is drawn by its own generator: the greedy choice among logits / temperature -
log E, with E exponential noise, is a draw from the softmax (the Gumbel-max trick; Maddison et al. 2014, A* Sampling).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor

from pipeline.enrichment import Ask, RefusalError, usable
from pipeline.settings import SettingsError

NARROWEST = 32  # tokens to which prompts are padded; wider ones to twice, four times … as many


class Local:
    """Callable as `Language` is. See the module."""

    def __init__(self, folder: Path, device: str, *, batch_size: int, temperature: float, max_tokens: int) -> None:
        self.device, self.batch_size = device, batch_size
        self.temperature, self.max_tokens = temperature, max_tokens
        own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **own)
            model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype="auto", **own)
        except (OSError, ValueError) as error:
            raise SettingsError(f"enrich.model={folder} cannot be loaded: {error}") from None
        self.model = model.to(device).eval()
        ends = self.model.generation_config.eos_token_id or self.tokenizer.eos_token_id
        self.ends: list[int] = [ends] if isinstance(ends, int) else list(ends or ())
        self.longest: int = getattr(self.model.config, "max_position_embeddings", None) or 2**20

    @torch.no_grad()
    def __call__(self, asks: Sequence[Ask]) -> list[str | RefusalError]:
        """See `Language`."""
        prompts = [self._tokens(ask.prompt) for ask in asks]
        answers: dict[int, str | RefusalError] = {}
        by_width: dict[int, list[int]] = {}
        for place, tokens in enumerate(prompts):
            if len(tokens) > self.longest - self.max_tokens:
                answers[place] = RefusalError(f"a prompt of {len(tokens)} tokens is too long for the model")
            else:
                by_width.setdefault(self._width(len(tokens)), []).append(place)
        for width, places in by_width.items():
            for start in range(0, len(places), self.batch_size):
                chosen = places[start : start + self.batch_size]
                said = self._batch([prompts[i] for i in chosen], [asks[i].seed for i in chosen], width)
                answers |= zip(chosen, said, strict=True)
        return [answers[place] for place in range(len(asks))]

    def _tokens(self, prompt: str) -> list[int]:
        """A prompt as the model was taught to read it."""
        if self.tokenizer.chat_template is None:
            return list(self.tokenizer(prompt)["input_ids"])
        messages = [{"role": "user", "content": prompt}]
        return list(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    def _width(self, tokens: int) -> int:
        """Of the batches in which a prompt is read."""
        width = NARROWEST
        while width < tokens:
            width *= 2
        return min(width, self.longest - self.max_tokens)

    def _batch(self, prompts: Sequence[list[int]], seeds: Sequence[int], width: int) -> list[str | RefusalError]:
        """Answers to at most `batch_size` prompts, which are padded [batch_size, width] with the last one."""
        rows = [*prompts, *[prompts[-1]] * (self.batch_size - len(prompts))]
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        padding = self.ends[0] if self.ends else 0
        tokens = torch.tensor([[padding] * (width - len(r)) + r for r in rows])
        draws = Draws([*seeds, *[seeds[-1]] * (self.batch_size - len(seeds))], self.temperature, self.device)
        chosen = GenerationConfig(
            max_new_tokens=self.max_tokens, do_sample=False, eos_token_id=self.ends or None, pad_token_id=padding
        )
        made = self.model.generate(
            input_ids=tokens.to(self.device),
            attention_mask=mask.to(self.device),
            generation_config=chosen,
            logits_processor=[draws] if self.temperature else None,
        )
        return [self._answer(row) for row in made[: len(prompts), width:].tolist()]

    def _answer(self, tokens: list[int]) -> str | RefusalError:
        """The text before the first token that ends it."""
        stop = next((place for place, token in enumerate(tokens) if token in self.ends), None)
        if stop is None:
            return RefusalError(f"an answer of more than enrich.max_tokens={self.max_tokens} tokens")
        return usable(self.tokenizer.decode(tokens[:stop], skip_special_tokens=True))


class Draws(LogitsProcessor):
    """Scores whose greatest is a draw from the softmax of logits / temperature, for each row by its own generator."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: str) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        """Logits [B, V] -> scores [B, V]."""
        noise = torch.stack(
            [
                torch.empty_like(s, dtype=torch.float32).exponential_(generator=g)
                for s, g in zip(scores, self.generators, strict=True)
            ]
        )
        return scores.float() / self.temperature - noise.log()
