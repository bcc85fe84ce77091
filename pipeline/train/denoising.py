"""stage=denoise: the conditional denoiser, in the latents of a frozen autoencoder, on a frozen CLIP's tokens.

v-prediction (Salimans & Ho 2022): at x_t = a x_0 + s eps the target is v = a eps - s x_0. Each modality is
lacking alone, and all of them together, in a share of the rows, so that the network can be asked with any
subset (`keep`).

Options: those of picturing.py; `channels` of the UNet's levels, `fusion` (how modalities are joined: models/fusion.py),
`drop_each` and `drop_all` shares.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Conditions
from pipeline.models import image
from pipeline.models.fusion import Keep
from pipeline.train.data import Batch
from pipeline.train.frozen import Frozen
from pipeline.train.picturing import MODALITIES, Picturing
from pipeline.train.settings import Train


class Denoising(Picturing):
    """Stage (train/stage.py) of stage=denoise."""

    @classmethod
    def create(cls, settings: Train, device: str = "cpu") -> Self:
        """A fresh denoiser over the given CLIP and autoencoder."""
        options = settings.stage.options
        parts = Frozen.load(options, device)
        return cls(parts.network(options), parts, options, noise_schedule())

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


def draw_keep(present: Mapping[str, Tensor], options: Mapping[str, Any], generator: torch.Generator) -> Keep:
    """Which modalities each row may see, of those that are `present` [B] in it.

    Disjoint shares of a batch are to lack one modality (`drop_each`), or all (`drop_all`). Rows that lack them by
    themselves count; what a share wants yet is dropped from rows that lack nothing.
    """
    has = torch.stack([rows.cpu() for rows in present.values()])  # [M, B]
    whole, count = has.all(0), has.sum(0)
    u = torch.rand(len(whole), generator=generator)
    wanted = {m: (options["drop_each"], ~rows & (count == len(has) - 1)) for m, rows in zip(present, has, strict=True)}
    dropped, start = {}, 0.0
    for name, (share, lacking) in {"": (options["drop_all"], count == 0), **wanted}.items():
        left = max(0.0, share * len(whole) - float(lacking.sum())) / max(1, int(whole.sum()))
        dropped[name] = whole & (u >= start) & (u < start + left)
        start += left
    return {m: ~(dropped[""] | dropped[m]) for m in present}


def noise_schedule(predicts: str = "v_prediction") -> DDPMScheduler:
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
