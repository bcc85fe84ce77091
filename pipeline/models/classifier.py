"""Image classifiers by transformers, from a folder in its layout: config.json with id2label, safetensors, processor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline import storage
from pipeline.media import Pixels
from pipeline.models import checkpoint
from pipeline.safety import Safety
from pipeline.settings import SettingsError


class Classifier:
    """Probabilities of labels. Frozen; no code that comes with a model is run."""

    def __init__(self, network: Any, processor: Any, device: str) -> None:
        self.network, self.processor, self.device = network.to(device).eval().requires_grad_(False), processor, device
        self.labels: list[str] = [network.config.id2label[i] for i in range(network.config.num_labels)]

    @classmethod
    def load(cls, folder: Path, device: str) -> Self:
        """From a local folder. Raises SettingsError where it cannot be loaded."""
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            network = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, **local)
            return cls(network.float(), AutoImageProcessor.from_pretrained(folder, **local), device)
        except (OSError, ValueError, SafetensorError) as error:
            raise SettingsError(f"safety.classifier: {folder} cannot be loaded: {error}") from error

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Pixels]) -> Tensor:
        """Probabilities [B, labels] of RGB pictures [S, S, 3]: they sum to 1, but of a model for several labels."""
        inputs = self.processor(images=list(pictures), return_tensors="pt").to(self.device)
        logits = self.network(**inputs).logits.float().cpu()
        several = self.network.config.problem_type == "multi_label_classification"
        return logits.sigmoid() if several else logits.softmax(-1)


def weights(safety: Safety) -> dict[str, str]:
    """What names the classifier in a recipe and in each row's provenance; nothing without one.

    Raises SettingsError for a folder that holds none, and for labels that it does not have.
    """
    if safety.classifier is None:
        return {}
    path = storage.join(safety.classifier, "config.json")
    if not storage.stat_or_none(path):
        raise SettingsError(f"safety.classifier={safety.classifier} has no config.json; give a transformers folder")
    labels = list(storage.read_json(path).get("id2label", {}).values())
    if unknown := sorted(set(safety.unsafe) - set(labels)):
        raise SettingsError(f"safety.unsafe: the classifier has no label {unknown[0]!r}; it has {', '.join(labels)}")
    return {"safety": checkpoint.fingerprint(safety.classifier)}
