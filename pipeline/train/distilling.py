"""stage=distil: a student of a diffusion model that needs 1, 2 or 4 steps, by adversarial diffusion distillation
(Sauer et al. 2023): at each timestep that those steps ask for, its x_0 must pass a discriminator (adversary.py), and
once it is noised again must stay what the frozen teacher makes of it.

The student is asked at x_t of real rows, with noise of their own. Sampling therefore has to noise each x_0 anew, as
LCMScheduler does: it is saved with the student, and scheduler=model takes it.

Options: `teacher`, a generator folder, whose weights the student starts from; `steps`; `guidance` of the teacher
(s e_all + (1 - s) e_none, 1 for none); `teaching`, the weight of its term; `drop_each`, `drop_all` (shares.py);
`discriminator`, `loss`, `r1`, `r1_noise`, `rates` (adversarial.py); `judge` and `scores` (picturing.py).
"""

import copy
import inspect
from collections.abc import Mapping
from typing import Any, Self

import torch
from diffusers import LCMScheduler
from torch import Tensor

from pipeline.models import checkpoint, image
from pipeline.models.discriminator import Pair
from pipeline.train.adversarial import Adversarial, Game, discriminator
from pipeline.train.frozen import Frozen, of_generator
from pipeline.train.settings import Train


class Distilling(Adversarial):
    """Stage (train/stage.py) of stage=distil."""

    sampler = LCMScheduler.__name__

    def __init__(self, network: Pair, frozen: Frozen, options: dict[str, Any], scheduler: LCMScheduler) -> None:
        super().__init__(network, frozen, options, scheduler)
        self.teacher = copy.deepcopy(network.generator).to(self.device).eval().requires_grad_(False)
        scheduler.set_timesteps(int(options["steps"]))
        self.timesteps = scheduler.timesteps.clone()

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """A copy of the teacher, over the teacher's own frozen parts."""
        options = dict(settings.stage.options)
        folder = checkpoint.fetch(options["teacher"])
        options |= of_generator(folder)
        frozen = Frozen.load(options, device)
        pair = Pair(image.load(folder).float().train(), discriminator(frozen, options))
        return cls(pair, frozen, options, few_steps(checkpoint.scheduler_config(folder)))

    def question(self, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noised rows, at timesteps that sampling asks for."""
        t = self.timesteps[torch.randint(len(self.timesteps), (len(x_0),), generator=generator)].to(self.device)
        return self.noised(x_0, t, generator), t

    def noised(self, x_0: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """x_t."""
        a, s = self.levels(t)
        return a * x_0 + s * torch.randn(x_0.shape, generator=generator).to(self.device)

    def beside(self, game: Game, made: Tensor, generator: torch.Generator) -> Tensor:
        """Squared distance from what the teacher makes of it under noise, weighed by a_t: little where noise is all
        that can be seen."""
        t = torch.randint(len(self.alpha_bar), (len(made),), generator=generator).to(self.device)
        with torch.no_grad():
            target = self.taught(game, self.noised(made, t, generator), t)
        return self.options["teaching"] * (self.levels(t)[0] * (made - target).square()).mean()

    def taught(self, game: Game, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0 as the guided teacher has it."""
        scale = float(self.options["guidance"])
        prediction = self.teacher(x_t, t, game.conditions, game.keep).float()
        if scale != 1:
            nothing = {m: torch.zeros_like(kept) for m, kept in game.keep.items()}
            prediction = torch.lerp(self.teacher(x_t, t, game.conditions, nothing).float(), prediction, scale)
        return self.clean(prediction, x_t, t)


def few_steps(config: Mapping[str, Any]) -> LCMScheduler:
    """The sampler of a student, on its teacher's noise schedule: x_0, noised anew for each next step, at timesteps that
    are evenly spaced from the last one on."""
    known = inspect.signature(LCMScheduler).parameters
    own = {key: value for key, value in config.items() if key in known}
    return LCMScheduler(**{**own, "original_inference_steps": config["num_train_timesteps"]})
