"""Captioners of transformers: models that write a text to a picture alone, from a folder.

config.json                 names its architecture, one of ABLE; larger ones write to a prompt, which nobody gives
*.safetensors               weights
preprocessor_config.json    how pictures are made ready (conditions/prepared.py)
tokenizer.json, …           its words

Options of the task: `max_tokens` of a caption; `beams` of the search for the likeliest one; `temperature` (0: nothing
is drawn) and `top_p` of captions that are drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from pipeline import storage
from pipeline.models.checkpoint import PICKLES
from pipeline.models.files import Files
from pipeline.models.labels import PREPARED
from pipeline.settings import Generate, SettingsError

ABLE = ("blip", "blip-2", "git", "vision-encoder-decoder")  # values of model_type
TOKENIZERS = ("tokenizer", "vocab", "spiece", "sentencepiece")  # how names of a tokenizer's files begin


def problems(settings: Generate) -> Iterator[str]:
    """What is wrong with a run's captioner, each in one line, before any actor starts."""
    yield from _option_problems(settings.task.options)
    path = settings.model.path
    below = (file.uri.removeprefix(path.rstrip("/")).lstrip("/") for file in storage.list_objects(path))
    names = {name for name in below if "/" not in name}
    if "config.json" not in names:
        yield f"model.path={path} has no config.json: it is no folder as transformers saves it"
    elif (kind := storage.read_json(storage.join(path, "config.json")).get("model_type")) not in ABLE:
        yield f"model.path={path} is a {kind}; captioners are {', '.join(ABLE)}"
    if not names & set(PREPARED):
        yield f"model.path={path} has no {PREPARED[0]}, which says how pictures are made ready for it"
    if not any(name.startswith(TOKENIZERS) for name in names):
        yield f"model.path={path} has no tokenizer"
    if not any(name.endswith(".safetensors") for name in names) and not settings.model.trust_pickle:
        pickled = any(name.endswith(PICKLES) for name in names)
        yield f"model.path={path} holds no safetensors" + (
            ", only pickles, which can execute anything: say model.trust_pickle=true if you trust who made them"
            if pickled
            else ""
        )


def _option_problems(options: Mapping[str, Any]) -> Iterator[str]:
    for key in ("max_tokens", "beams"):
        if options[key] < 1:
            yield f"task.options.{key} must be at least 1, not {options[key]}"
    if options["temperature"] < 0:
        yield f"task.options.temperature must be 0 or more, not {options['temperature']:g}"
    if not 0 < options["top_p"] <= 1:
        yield f"task.options.top_p must lie in (0, 1], not {options['top_p']:g}"
    if options["beams"] > 1 and options["temperature"] > 0:
        yield "task.options.beams searches for the likeliest caption: with more than 1, temperature must be 0"


class Captioner:
    """Callable on pictures that are ready. See the module."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(files.folder, **local)
            model, told = AutoModelForImageTextToText.from_pretrained(
                files.folder,
                dtype=dtype,
                use_safetensors=None if files.trust_pickle else True,
                output_loading_info=True,
                **local,
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise SettingsError(f"model.path={files.folder} cannot be loaded: {error}") from None
        if missing := sorted(told["missing_keys"]):  # transformers would draw them at random
            raise SettingsError(f"model.path={files.folder} lacks the weights {', '.join(missing[:3])}")
        self.model, self.dtype, self.device = model.to(device).eval(), dtype, device
        self.options = options
        room = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        self.tokens = min(int(options["max_tokens"]), (room or 1 + int(options["max_tokens"])) - 1)

    @torch.no_grad()
    def __call__(self, pictures: Tensor, generators: Sequence[torch.Generator]) -> list[str]:
        """Captions of pictures [B, 3, h, w]; what is drawn of row b comes from generators[b] alone."""
        found = self.model.generate(
            pixel_values=pictures.to(self.device, self.dtype),
            max_new_tokens=self.tokens,
            num_beams=int(self.options["beams"]),
            do_sample=False,
            logits_processor=LogitsProcessorList(self._drawn(generators)),
        )
        return [text.strip() for text in self.tokenizer.batch_decode(found, skip_special_tokens=True)]

    def _drawn(self, generators: Sequence[torch.Generator]) -> Iterator[LogitsProcessor]:
        """What makes the likeliest token a drawn one."""
        if self.options["temperature"] > 0:
            yield TemperatureLogitsWarper(float(self.options["temperature"]))
            if self.options["top_p"] < 1:
                yield TopPLogitsWarper(float(self.options["top_p"]))
            yield Gumbel(generators)


class Gumbel(LogitsProcessor):
    """Logits with Gumbel noise, the largest of which is a draw from their softmax (Gumbel 1954; Maddison et al. 2014);
    the noise of row b comes from generators[b] alone, so that its neighbours have no say in its draw."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = generators

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        """Scores [B, V] of tokens; -inf stays."""
        exponential = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.generators])
        return scores.float() - exponential.log().to(scores.device)
