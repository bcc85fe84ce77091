"""An image classifier of transformers, and its verdicts: safetensors alone, no code from outside."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForImageClassification

from pipeline.media import Pixels
from pipeline.settings import SettingsError


@dataclasses.dataclass(frozen=True)
class Verdict:
    """On one picture."""

    score: float  # in [0, 1]: how probably it is unsafe; NaN where the classifier's answer is none
    label: str  # the likeliest


class Classifier:
    """Callable on pictures. See the module."""

    def __init__(self, folder: Path, device: str, unsafe: Sequence[str]) -> None:
        own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.prepare = AutoImageProcessor.from_pretrained(folder, **own)
            model, told = AutoModelForImageClassification.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **own
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise SettingsError(f"safety.classifier={folder} cannot be loaded: {error}") from None
        if missing := sorted(told["missing_keys"]):  # transformers would draw them at random
            raise SettingsError(f"safety.classifier={folder} lacks the weights {', '.join(missing[:3])}")
        self.device, self.model = device, model.to(device).eval()
        self.labels = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
        self.unsafe = [i for i, label in enumerate(self.labels) if label in unsafe]
        self.several = model.config.problem_type == "multi_label_classification"

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        """A verdict on each of the pictures, which are RGB arrays [H, W, 3]."""
        own = [np.array(picture) for picture in pictures]  # blocks of Arrow are read-only, which torch is not
        ready = self.prepare(own, return_tensors="pt", input_data_format="channels_last")
        logits = self.model(ready["pixel_values"].to(self.device)).logits.float().cpu()
        named = [self.labels[i] for i in logits.argmax(1).tolist()]
        return [Verdict(*pair) for pair in zip(self.scores(logits).tolist(), named, strict=True)]

    def scores(self, logits: Tensor) -> Tensor:
        """Logits [B, L] -> [B]: the probability of all unsafe labels together; of a classifier that gives a picture
        several labels, of the likeliest of them."""
        if self.several:
            return logits.sigmoid()[:, self.unsafe].amax(1)
        return logits.softmax(1)[:, self.unsafe].sum(1).clamp(max=1)
