"""stage=denoise: the conditional denoiser, in the latents of a frozen autoencoder, on a frozen CLIP's tokens.

v-prediction (Salimans & Ho 2022): at x_t = a x_0 + s eps the target is v = a eps - s x_0. Each modality is
lacking alone, and all of them together, in a share of the rows (shares.py), so that the network can be asked with
any subset (`keep`).

Options: those of picturing.py; `channels` of the UNet's levels and `fusion` (how modalities are joined:
models/fusion.py); or `start`, the folder of a generator that was trained like this, whose network goes on learning
over its own frozen parts.
"""

from typing import Self

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Conditions
from pipeline.models import checkpoint, image
from pipeline.models.fusion import Keep, check_join
from pipeline.settings import SettingsError
from pipeline.train.data import Batch
from pipeline.train.frozen import Frozen, of_generator
from pipeline.train.picturing import MODALITIES, Picturing
from pipeline.train.settings import Train
from pipeline.train.shares import draw_keep

PREDICTS = "v_prediction"


class Denoising(Picturing):
    """Stage (train/stage.py) of stage=denoise."""

    @staticmethod
    def check(settings: Train) -> None:
        """Raises SettingsError where there is nothing to stand on, or a start that predicts something else."""
        options = settings.stage.options
        check_join(options["fusion"]["join"])
        if start := options["start"]:
            found = checkpoint.scheduler_config(checkpoint.fetch(start)).get("prediction_type")
            if found != PREDICTS:
                raise SettingsError(f"stage.options.start={start} predicts {found}; stage=denoise trains {PREDICTS}")
        elif lacking := [name for name in ("clip", "vae") if not options[name]]:
            raise SettingsError(
                f"stage=denoise needs stage.options.{lacking[0]}=, the folder of a trained one, "
                "or stage.options.start=, a generator's folder to go on from"
            )

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """A fresh denoiser over the given CLIP and autoencoder, or what `start` has learned."""
        options = dict(settings.stage.options)
        start = checkpoint.fetch(options["start"]) if options["start"] else None
        options |= of_generator(start) if start else {}
        parts = Frozen.load(options, device)
        network = image.load(start).float().train() if start else parts.network(options)
        return cls(network, parts, options, noise_schedule())

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of v at uniformly drawn timesteps."""
        picture, conditions = self.varied(batch, generator)
        keep = draw_keep({m: conditions[m].present for m in MODALITIES}, self.options, generator)
        return self.error(network, picture, conditions, keep, generator)

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
        prediction = network(a * x_0 + s * eps, t, conditions, self.on(keep))
        return F.mse_loss(prediction.float(), a * eps - s * x_0)


def noise_schedule(predicts: str = PREDICTS) -> DDPMScheduler:
    """DDPM's linear betas (Ho et al. 2020): almost no signal is left at the end, so white grounds come out white."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        prediction_type=predicts,
        timestep_spacing="trailing",
        clip_sample=False,
    )
