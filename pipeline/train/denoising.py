"""stage=denoise: the conditional denoiser, in the latents of a frozen autoencoder, on a frozen CLIP's tokens.

v-prediction (Salimans & Ho 2022): at x_t = a x_0 + s eps the target is v = a eps - s x_0. Each modality is
dropped alone, and all of them together, in a share of the rows, so that the network can be asked with any
subset (`keep`).

Options: `clip` and `vae` folders, `text_tokens` (conditions/clip.py), `channels` of the UNet's levels, `fusion` (how
modalities are joined: models/fusion.py), `drop_each` and `drop_all` shares; `judge` (a CLIP folder, or null) and
`scores` of the pictures that are drawn in validation.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Conditions, EncoderContext
from pipeline.conditions.clip import Clip, ClipJudge, TextEncoder
from pipeline.conditions.sketch import SketchEncoder
from pipeline.media import Pixels
from pipeline.models import checkpoint, image
from pipeline.models.fusion import Keep
from pipeline.train import drawing
from pipeline.train.data import Batch, augment, caption, may_mirror, pictures, to_tensors, told
from pipeline.train.settings import Train
from pipeline.train.stage import Drawn
from pipeline.train.validation import compared, scored

MODALITIES = ("text", "sketch")


class Denoising:
    """Stage (train/stage.py) of stage=denoise."""

    reader = staticmethod(functools.partial(pictures, needed=("image",)))

    def __init__(
        self, network: image.SketchToImage, clip: Clip, vae: AutoencoderTiny, options: Mapping[str, Any]
    ) -> None:
        self.network: nn.Module = network
        self.clip, self.device, self.options = clip, clip.device, options
        self.vae = vae.to(self.device).eval().requires_grad_(False)
        self.scheduler = noise_schedule()
        self.alpha_bar = self.scheduler.alphas_cumprod.to(self.device)
        judge = options["judge"]
        self.judge = judge and ClipJudge.load(str(checkpoint.fetch(judge)), self.device)
        context = EncoderContext("", self.device, {"clip": clip})
        self.text, self.sketch = TextEncoder(clip, options["text_tokens"]), SketchEncoder.load(context)

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """A fresh denoiser over the given CLIP and autoencoder."""
        options = settings.stage.options
        clip = Clip.load(str(checkpoint.fetch(options["clip"])), device)
        vae = AutoencoderTiny.from_pretrained(checkpoint.fetch(options["vae"])).float()
        channels, latents = tuple(options["channels"]), vae.config.latent_channels
        network = image.build(clip.image_size, latents, clip.widths, channels, options["fusion"])
        return cls(network, clip, vae, options)

    def conditions(self, batch: Batch, texts: Sequence[str], sketch: Tensor) -> Conditions:
        """Evidence of texts and sketches [B, 1, S, S] in [0, 1], absent in the rows of a batch that have none."""
        found = {"text": self.text(texts), "sketch": self.sketch.of_tensor(sketch)}
        found = {name: condition.withhold(~told(batch, name)) for name, condition in found.items()}
        return {name: condition.each(lambda t: t.to(self.device)) for name, condition in found.items()}

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of v at uniformly drawn timesteps."""
        picture, sketch = to_tensors(batch, self.device)
        moved = augment(torch.cat([picture, sketch], 1), generator, may_mirror(list(batch["text"])))
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        texts = [caption(t, g, rng) for t, g in zip(batch["text"], batch["tags"], strict=True)]
        conditions = self.conditions(batch, texts, moved[:, 3:])
        return self.error(
            network, moved[:, :3], conditions, draw_keep(MODALITIES, len(texts), self.options, generator), generator
        )

    def error(
        self, network: nn.Module, picture: Tensor, conditions: Conditions, keep: Keep, generator: torch.Generator
    ) -> Tensor:
        """Loss on pictures [B, 3, S, S] whose conditions are known."""
        with torch.no_grad():
            x_0 = image.encode(self.vae, picture).float()
        t = torch.randint(1000, (len(x_0),), generator=generator).to(self.device)
        eps = torch.randn(x_0.shape, generator=generator).to(self.device)
        alpha_bar = self.alpha_bar[t].view(-1, 1, 1, 1)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        prediction = network(a * x_0 + s * eps, t, conditions, {m: k.to(self.device) for m, k in keep.items()})
        return F.mse_loss(prediction.float(), a * eps - s * x_0)

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The loss with all conditions and with none, on fixed noise: their gap is what the conditions tell."""
        picture, sketch = to_tensors(batch, self.device)
        conditions = self.conditions(batch, list(batch["text"]), sketch)
        figures = {}
        for name, kept in {"all": MODALITIES, "text": ("text",), "sketch": ("sketch",), "none": ()}.items():
            keep = {m: torch.full((len(picture),), m in kept) for m in MODALITIES}
            figures[f"loss_{name}"] = float(
                self.error(network, picture, conditions, keep, torch.Generator().manual_seed(0))
            )
        return figures

    @torch.no_grad()
    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:
        """Pictures by text and sketch; in the grid sketches, results and the rows' own pictures."""
        pictures, sketches = to_tensors(batch, self.device)
        conditions = self.conditions(batch, list(batch["text"]), sketches)
        side = sketches.shape[-1] // 4
        shape = (self.vae.config.latent_channels, side, side)
        x_0 = drawing.draw(drawing.Training(network, shape, self.scheduler.config), conditions, steps)
        results = list(pixels(image.decode(self.vae, x_0)))
        inputs = {
            "text": list(batch["text"]),
            "sketch": list(pixels(sketches)[..., 0]),
            "image": list(pixels(pictures)),
        }
        found = scored(self.options["scores"], compared(self.judge, "image", results, inputs))
        return Drawn(found, drawing.grid([inputs["sketch"], results, inputs["image"]]))

    def save(self, network: nn.Module, folder: Path) -> None:
        """A whole generator: unet, adapter, fusion, vae, scheduler, clip, model_index.json, checksums."""
        parts = {name: getattr(network, name) for name in ("unet", "adapter", "fusion")}
        clip, vae = (checkpoint.fetch(self.options[name]) for name in ("clip", "vae"))
        parts["scheduler"] = self.scheduler
        checkpoint.save_generator(folder, parts, {"clip": clip, "vae": vae}, text_tokens=self.options["text_tokens"])


def pixels(pictures: Tensor) -> Pixels:
    """[B, S, S, C] of pictures [B, C, S, S] in [0, 1]."""
    return (pictures * 255).round().nan_to_num().byte().permute(0, 2, 3, 1).cpu().numpy()


def draw_keep(modalities: Sequence[str], rows: int, options: Mapping[str, Any], generator: torch.Generator) -> Keep:
    """Which modalities each row may see: disjoint shares drop one of them (`drop_each`), or all (`drop_all`)."""
    each, everything = options["drop_each"], options["drop_all"]
    u = torch.rand(rows, generator=generator)
    start = {m: everything + k * each for k, m in enumerate(modalities)}
    return {m: (u >= everything) & ~((u >= lo) & (u < lo + each)) for m, lo in start.items()}


def noise_schedule() -> DDPMScheduler:
    """DDPM's linear betas (Ho et al. 2020): almost no signal is left at the end, so white grounds come out white."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )
