"""stage=gan: a conditional GAN in the latents of a frozen autoencoder, of the denoiser's own network, asked once.

The generator answers pure noise at the last timestep with x_0, and is saved as a model that predicts x_0: one step of
the one sampling loop gives that answer as it is. Steps alternate: the discriminator learns, then the generator.
adversary.py has their losses.

Options: those of denoising.py; `discriminator` (`channels` of its levels), `loss` (adversary.LOSSES), `r1` and
`r1_noise` (gamma and sigma there), `rates` (shares of the learning rate), `reconstruction`: weight of the mean
absolute error of x_0, which leads the generator before the discriminator knows anything.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Conditions
from pipeline.models import image
from pipeline.models.discriminator import Discriminator, Pair
from pipeline.models.fusion import Keep
from pipeline.train import adversary
from pipeline.train.data import Batch
from pipeline.train.denoising import noise_schedule
from pipeline.train.frozen import Frozen
from pipeline.train.picturing import MODALITIES, Picturing
from pipeline.train.settings import Train
from pipeline.train.shares import draw_keep


@dataclasses.dataclass(frozen=True)
class Game:
    """B rows that are played for."""

    x_0: Tensor  # [B, C, h, w]
    conditions: Conditions
    keep: Keep
    x_t: Tensor  # [B, C, h, w] what the generator is asked
    t: Tensor  # [B]


class Adversarial(Picturing):
    """What stages share whose generator learns from a discriminator."""

    def __init__(self, network: Pair, frozen: Frozen, options: dict[str, Any], scheduler: DDPMScheduler) -> None:
        super().__init__(network, frozen, options, scheduler)
        self.turns = {turn: float(options["rates"][turn]) for turn in ("discriminator", "generator")}

    def question(self, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(x_t [B, C, h, w], t [B]) that the generator is asked for rows whose latents are x_0."""
        raise NotImplementedError

    def beside(self, game: Game, made: Tensor, generator: torch.Generator) -> Tensor:
        """What the generator learns from beside the discriminator, by what it made."""
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator, turn: str = "discriminator") -> Tensor:
        """The loss of the one whose turn it is."""
        picture, conditions = self.varied(batch, generator)
        keep = self.on(draw_keep({m: conditions[m].present for m in MODALITIES}, self.options, generator))
        game = self.game(picture, conditions, keep, generator)
        play = {"discriminator": self._discriminate, "generator": self._generate}[turn]
        return network(functools.partial(play, game, generator))

    def game(self, picture: Tensor, conditions: Conditions, keep: Keep, generator: torch.Generator) -> Game:
        """Rows of pictures [B, 3, S, S] in [0, 1]."""
        with torch.no_grad():
            x_0 = image.encode(self.vae, picture).float()
        return Game(x_0, conditions, keep, *self.question(x_0, generator))

    def answer(self, network: nn.Module, game: Game) -> Tensor:
        """x_0 [B, C, h, w] as the generator has it."""
        prediction = network(game.x_t, game.t, game.conditions, game.keep).float()
        return self.clean(prediction, game.x_t, game.t)

    def clean(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0 [B, C, h, w] by a prediction at x_t and t [B]."""
        a, s = self.levels(t)
        kinds = {"epsilon": (x_t - s * prediction) / a, "v_prediction": a * x_t - s * prediction, "sample": prediction}
        return kinds[self.scheduler.config.prediction_type]

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a, s) [B, 1, 1, 1] of x_t = a x_0 + s eps."""
        alpha_bar = self.alpha_bar[t].view(-1, 1, 1, 1)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def _discriminate(self, game: Game, random: torch.Generator, generator: nn.Module, judge: nn.Module) -> Tensor:
        """All that is judged goes through the discriminator at once."""
        with torch.no_grad():
            made = self.answer(generator, game)
        sigma, rows = float(self.options["r1_noise"]), torch.arange(len(made), device=made.device)
        near = game.x_0 + sigma * torch.randn(made.shape, generator=random).to(made.device)
        index, wrong = adversary.mismatched(game.conditions, game.keep, random)
        conditions = {m: c.rows(torch.cat([rows, rows, rows, index[m]])) for m, c in game.conditions.items()}
        keep = {m: kept.repeat(4) for m, kept in game.keep.items()}
        verdicts = judge(torch.cat([game.x_0, near, made, game.x_0]), conditions, keep).chunk(4)
        told = adversary.telling(self.options["loss"], verdicts[0], verdicts[2], verdicts[3], wrong)
        return told + self.options["r1"] / 2 * adversary.steepness(verdicts[0], verdicts[1], sigma)

    def _generate(self, game: Game, random: torch.Generator, generator: nn.Module, judge: nn.Module) -> Tensor:
        made = self.answer(generator, game)
        fooled = adversary.fooling(self.options["loss"], judge(made, game.conditions, game.keep))
        return fooled + self.beside(game, made, random)

    def asked(self, network: nn.Module) -> Callable[..., Tensor]:
        """The generator alone, by a forward of both."""
        return lambda *question: network(lambda generator, _: generator(*question))

    def error(
        self, network: nn.Module, picture: Tensor, conditions: Conditions, keep: Keep, generator: torch.Generator
    ) -> Tensor:
        """Mean absolute error of x_0."""
        game = self.game(picture, conditions, self.on(keep), generator)
        return F.l1_loss(network(lambda generator, _: self.answer(generator, game)), game.x_0)

    def save(self, network: nn.Module, folder: Path) -> None:
        """The generator's folder: nobody asks the discriminator any more."""
        super().save(network.get_submodule("generator"), folder)


class Gan(Adversarial):
    """Stage (train/stage.py) of stage=gan."""

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """Both fresh."""
        options = dict(settings.stage.options)
        frozen = Frozen.load(options, device)
        pair = Pair(frozen.network(options), discriminator(frozen, options))
        return cls(pair, frozen, options, noise_schedule("sample"))

    def question(self, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise, at the last timestep."""
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        return noise, torch.full((len(x_0),), len(self.alpha_bar) - 1, device=self.device)

    def beside(self, game: Game, made: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """The error of x_0."""
        return self.options["reconstruction"] * F.l1_loss(made, game.x_0)


def discriminator(frozen: Frozen, options: dict[str, Any]) -> Discriminator:
    """A fresh one for text and sketch."""
    widths = {modality: own["tokens"] for modality, own in frozen.widths.items()}
    return Discriminator(frozen.vae.config.latent_channels, widths, {"sketch": (1, 4)}, **options["discriminator"])
