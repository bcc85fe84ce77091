"""What stands still while a generator of pictures learns: a CLIP, what reads the texts, an autoencoder.

Options: `clip` and `vae`, folders; `text_tokens`, what of the CLIP's text tower conditions (conditions/clip.py), or
`language`, the folder of another text encoder (conditions/language.py), which takes its place.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from diffusers import AutoencoderTiny

from pipeline.conditions.clip import Clip, TextEncoder
from pipeline.conditions.language import LanguageEncoder
from pipeline.models import checkpoint, image


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Frozen parts, and their folders by the names that they have in a generator's."""

    clip: Clip
    text: TextEncoder | LanguageEncoder
    vae: AutoencoderTiny
    folders: Mapping[str, Path]
    text_tokens: str  # as model_index.json tells TextEncoder

    @classmethod
    def load(cls, options: Mapping[str, Any], device: str) -> Self:
        """Those that a stage's options name."""
        named = ("clip", "vae", "language") if options["language"] else ("clip", "vae")
        folders = {name: checkpoint.fetch(options[name]) for name in named}
        clip = Clip.load(str(folders["clip"]), device)
        vae = AutoencoderTiny.from_pretrained(folders["vae"]).float().to(device).eval().requires_grad_(False)
        if language := folders.get("language"):
            return cls(clip, LanguageEncoder.of(language, device), vae, folders, "language")
        tokens = options["text_tokens"]
        return cls(clip, TextEncoder(clip, tokens), vae, folders, tokens)

    @property
    def widths(self) -> dict[str, dict[str, int]]:
        """Modality -> sizes of its evidence: "tokens" and "pooled". A sketch is one token (conditions/sketch.py)."""
        pooled = self.clip.widths["pooled"]
        return {"text": self.text.widths, "sketch": {"tokens": pooled, "pooled": pooled}}

    def network(self, options: Mapping[str, Any]) -> image.SketchToImage:
        """An untrained network over them; options `channels` and `fusion`."""
        channels, latents = tuple(options["channels"]), self.vae.config.latent_channels
        return image.build(self.clip.image_size, latents, self.widths, channels, options["fusion"])


def of_generator(folder: Path) -> dict[str, Any]:
    """The options that name the frozen parts of a generator's folder."""
    index = json.loads((folder / checkpoint.INDEX).read_text("utf-8"))
    tokens = index.get("text_tokens", "hidden")
    language = str(folder / "language") if tokens == "language" else None
    return {"clip": str(folder / "clip"), "vae": str(folder / "vae"), "text_tokens": tokens, "language": language}
