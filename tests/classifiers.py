"""Tiny image classifiers in transformers' published layout, whose answers are known or at least differ."""

import json
from collections.abc import Sequence
from pathlib import Path

LABELS = ("drawing", "gore", "nude")


def folder(place: Path, probabilities: Sequence[float] | None = None, labels: Sequence[str] = LABELS) -> Path:
    """A random ViT: one that gives every picture these probabilities, or, without them, its own to each."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        if probabilities is None:
            model.classifier.weight.mul_(5)
        else:
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.tensor(probabilities).log())
    model.save_pretrained(place)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(place)
    return place


def change(place: Path, **config: object) -> None:
    """Set keys of its config.json; None takes one out."""
    path = place / "config.json"
    values = {**json.loads(path.read_text()), **config}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
