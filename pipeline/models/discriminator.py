"""A matching-aware discriminator of latents (Reed et al. 2016): is this a drawing of a person, and one of these
conditions?

Evidence in place (a sketch's map) is seen beside the latents. All other evidence enters by projection (Miyato & Koyama
2018): each place of the last features says how real it looks, plus how well it agrees with the mean token of each
modality. A modality that is missing or dropped says nothing, so that any subset can be asked for (`keep`).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.conditions import Condition, Conditions
from pipeline.models.fusion import Keep
from pipeline.models.joins import seen_in


class Discriminator(nn.Module):
    """Verdicts on latents [B, C, h, w], whose sides are halved between the `channels` of its levels.

    Args:
        latents: C.
        tokens: modality -> width of its tokens.
        maps: modality -> (channels of its map, how many times as long as those of the latents its sides are).
        channels: of the levels.

    """

    def __init__(
        self, latents: int, tokens: Mapping[str, int], maps: Mapping[str, tuple[int, int]], channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.scales = {m: scale for m, (_, scale) in maps.items()}
        seen = sum(width * scale**2 + 1 for width, scale in maps.values())
        self.enter = nn.Conv2d(latents + seen, channels[0], 3, padding=1)
        pairs = zip([channels[0], *channels], channels, strict=False)
        self.blocks = nn.ModuleList(Block(before, width, halve=i > 0) for i, (before, width) in enumerate(pairs))
        self.real = nn.Linear(channels[-1], 1)
        self.match = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels[-1])) for m, width in tokens.items()}
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # as loud behind each level as before it, or nothing is told for long
                nn.init.kaiming_normal_(layer.weight, a=0.2)

    def forward(self, x_0: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Verdicts [B, P] of P places, above 0 for real ones that fit; in float32, whatever it computes in."""
        seen = {m: seen_in(conditions[m], keep[m]) for m in conditions}
        x = self.enter(torch.cat([x_0, *(self._map(m, conditions[m], seen[m]) for m in self.scales)], 1))
        for block in self.blocks:
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):  # a verdict of 8 bits would hide what is compared with it
            features = F.leaky_relu(x.float(), 0.2).flatten(2).transpose(1, 2)  # [B, P, D]
            verdicts: Tensor = self.real(features)[..., 0]
            for m, layer in self.match.items():
                agree = features @ layer(_mean(conditions[m]))[:, :, None] / features.shape[-1] ** 0.5
                verdicts = verdicts + torch.where(seen[m][:, None], agree[..., 0], 0)
        return verdicts

    def _map(self, m: str, condition: Condition, seen: Tensor) -> Tensor:
        """A modality's map in the latents' size [B, c, h, w], zeros if it is not seen, and a plane that says so."""
        there = seen.view(-1, 1, 1, 1).to(condition.maps[0].dtype)
        folded = F.pixel_unshuffle(condition.maps[0] * there, self.scales[m])
        return torch.cat([folded, there.expand(-1, 1, *folded.shape[2:])], 1)


class Block(nn.Module):
    """Two convolutions beside a shortcut, without normalisation."""

    def __init__(self, before: int, width: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.first, self.second = nn.Conv2d(before, before, 3, padding=1), nn.Conv2d(before, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w], or half of the sides, of [B, before, h, w]."""
        y = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2)) + self.shortcut(x)
        return (F.avg_pool2d(y, 2) if self.halve else y) / 2**0.5


class Pair(nn.Module):
    """A generator and its discriminator as one network, so that one forward may ask both."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def forward(self, play: Callable[[nn.Module, nn.Module], Tensor]) -> Tensor:
        """What `play` makes of generator and discriminator."""
        return play(self.generator, self.discriminator)


def _mean(condition: Condition) -> Tensor:
    """Mean token [B, D]."""
    real = condition.mask[:, :, None].float()
    return (condition.tokens.float() * real).sum(1) / real.sum(1).clamp(min=1)
