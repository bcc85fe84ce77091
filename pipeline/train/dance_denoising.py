"""stage=denoise_dance: the conditional denoiser of motion features, on music's features and a frozen space's words.

x_0-prediction, as MDM (Tevet et al. 2023) and EDGE (Tseng et al. 2023), with their losses on what the features mean in
the room: joint velocities, the speed of feet that stand, the lengths of bones. Each condition is dropped alone, and
both together, in a share of the rows (`keep`). A row's features weigh min(SNR, MOST_SNR) + 1 (Hang et al. 2023), or the
last steps are hardly learnt and dances tremble; the other losses min(SNR, MOST_SNR): of what is all noise they only say
that nothing is known.

Options: `space` folder (stage=align_dance), `network` of MotionTransformer, `weights` of the losses, `drop_each` and
`drop_all` shares; `judge` (a folder of stage=align_dance, or null) and `scores` of the dances drawn in validation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Condition, Conditions, EncoderContext
from pipeline.conditions.dance import DanceJudge, Space, TextEncoder
from pipeline.conditions.music import of_features, widths
from pipeline.models import checkpoint, motion
from pipeline.models.fusion import Keep
from pipeline.motion import representation
from pipeline.motion.drawing import strip
from pipeline.motion.skeleton import FEET, FPS
from pipeline.train import dances, drawing
from pipeline.train.data import Batch
from pipeline.train.settings import Train
from pipeline.train.shares import draw_keep
from pipeline.train.stage import Drawn
from pipeline.train.validation import compared, scored

MODALITIES = ("text", "music")
MOST_SNR = 9.0
STRIP = (560, 140)  # pixels of a dance in the picture


class DanceDenoising:
    """Stage (train/stage.py)."""

    reader = staticmethod(dances.reader)

    def __init__(self, network: motion.MusicToDance, space: Space, options: Mapping[str, Any]) -> None:
        self.network: nn.Module = network
        self.transformer = network.transformer
        self.device, self.options = space.device, options
        self.frames = int(network.transformer.config.frames)
        self.scheduler = noise_schedule()
        self.alpha_bar = self.scheduler.alphas_cumprod.to(self.device)
        judge = options["judge"]
        self.judge = judge and DanceJudge.load(checkpoint.fetch(judge), self.device)
        self.text = TextEncoder.load(EncoderContext("", self.device, shared={"space": space}))

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """A fresh denoiser over the given space, which knows the training's features and dancer."""
        options = settings.stage.options
        space = Space.load(checkpoint.fetch(options["space"]), device)
        network = motion.build(widths(), space.widths, options["network"])
        known = dances.moments(settings)
        for name in ("mean", "std", "lengths"):
            getattr(network.transformer, name).copy_(getattr(known, name))
        return cls(network, space, options)

    def conditions(self, rows: dances.Dances) -> Conditions:
        """Evidence of B texts and pieces of music."""
        found: dict[str, Condition] = {"text": self.text(rows.texts), "music": of_features(rows.music)}
        return {name: condition.each(lambda t: t.to(self.device)) for name, condition in found.items()}

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Weighted sum of the losses at uniformly drawn timesteps."""
        rows = dances.arranged(batch, self.frames, generator)
        every = torch.ones(len(rows.texts), dtype=torch.bool)
        keep = draw_keep(dict.fromkeys(MODALITIES, every), self.options, generator)
        t = torch.randint(1000, (len(rows.texts),), generator=generator).to(self.device)
        weights, alpha_bar = self.options["weights"], self.alpha_bar[t]
        found = self.errors(network, rows, t, keep, generator)
        snr = (alpha_bar / (1 - alpha_bar)).clamp(max=MOST_SNR)
        each = {name: weights[name] * (snr + (name == "features")) * value for name, value in found.items()}
        return torch.stack(list(each.values())).sum(0).mean()

    def errors(
        self, network: nn.Module, rows: dances.Dances, t: Tensor, keep: Keep, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Each loss [B] by name, at timesteps t [B]."""
        transformer = self.transformer
        poses, valid = rows.poses.to(self.device), rows.valid.to(self.device)
        x_0 = transformer.normalise(representation.encode(poses))
        eps = torch.randn(x_0.shape, generator=generator).to(self.device)
        alpha_bar = self.alpha_bar[t].view(-1, 1, 1)
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        seen = {m: k.to(self.device) for m, k in keep.items()}
        predicted = network(x_t, t, self.conditions(rows), seen).float()
        return losses(transformer, predicted, x_0, valid)

    @torch.no_grad()
    def validate(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The plain loss with all conditions, each alone and none, on fixed noise."""
        rows = dances.arranged(batch, self.frames, None)
        figures = {}
        t = torch.randint(1000, (len(rows.texts),), generator=torch.Generator().manual_seed(0)).to(self.device)
        for name, kept in {"all": MODALITIES, "text": ("text",), "music": ("music",), "none": ()}.items():
            keep = {m: torch.full((len(rows.texts),), m in kept) for m in MODALITIES}
            found = self.errors(network, rows, t, keep, torch.Generator().manual_seed(0))
            figures[f"loss_{name}"] = float(found["features"].mean())
        return figures

    @torch.no_grad()
    def draw(self, network: nn.Module, batch: Batch, steps: int) -> Drawn:
        """Dances by music and text; in the picture each row's own motion beside its result."""
        rows = dances.arranged(batch, self.frames, None)
        shape = (self.frames, representation.WIDTH)
        x_0 = drawing.draw(drawing.Training(network, shape, self.scheduler.config), self.conditions(rows), steps)
        results = list(self.transformer.rigid(x_0.float()).cpu().numpy())
        inputs = {"text": rows.texts, "motion": list(rows.poses.numpy())}
        found = scored(self.options["scores"], compared(self.judge, "motion", results, inputs))
        strips = [[strip(p, size=STRIP) for p in pair] for pair in zip(inputs["motion"], results, strict=True)]
        return Drawn(found, drawing.grid(strips))

    def save(self, network: nn.Module, folder: Path) -> None:
        """A whole generator: transformer, adapter, fusion, scheduler, space, model_index.json, checksums."""
        parts = {name: getattr(network, name) for name in ("transformer", "adapter", "fusion")}
        parts["scheduler"] = self.scheduler
        checkpoint.save_generator(folder, parts, {"space": checkpoint.fetch(self.options["space"])})


def losses(transformer: motion.MotionTransformer, predicted: Tensor, x_0: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Of each row [B], means over the valid frames of predicted and true x_0 [B, T, WIDTH].

    features: squared error of x_0. velocity: of joint velocities, (m/s)^2. contact: squared speed, (m/s)^2, of the
    feet where they truly stand. bones: squared error of bone lengths, dm^2.
    """
    made, real = transformer.poses(predicted), transformer.poses(x_0)
    pairs = valid[:, 1:].float()
    moves, moved = torch.diff(made, dim=1) * FPS, torch.diff(real, dim=1) * FPS  # [B, T - 1, 22, 3]
    stands = (x_0 * transformer.std + transformer.mean)[:, :-1, representation.CONTACT].round()  # [B, T - 1, 4]
    slides = moves[:, :, list(FEET)].square().sum(-1) * stands
    lengths = representation.bone_lengths(made) - representation.bone_lengths(real)
    return {
        "features": _mean(F.mse_loss(predicted, x_0, reduction="none").mean(-1), valid.float()),
        "velocity": _mean((moves - moved).square().sum(-1).mean(-1), pairs),
        "contact": _mean(slides.mean(-1), pairs),
        "bones": _mean((10 * lengths).square().mean(-1), valid.float()),
    }


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(1) / weights.sum(1)


def noise_schedule() -> DDPMScheduler:
    """The cosine schedule of Nichol & Dhariwal 2021, as MDM and EDGE."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=False,
    )
