"""What generator and discriminator want of each other, as pure functions.

The discriminator is matching-aware (GAN-CLS, Reed et al. 2016): it tells what is real and has its own conditions from
what was made, and from what is real but has those of another row.

Stabiliser: R1, half of gamma E |dD/dx|^2 at real rows (Mescheder et al. 2018), the gradient being that of finite
differences in random directions (Lin et al. 2025): E [(D(x + sigma n) - D(x)) / sigma]^2 = |dD/dx|^2 + O(sigma^2) for
n ~ N(0, I). It needs no second derivative, so that it works in shares (FSDP2) and in bfloat16.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.conditions import Conditions
from pipeline.models.fusion import Keep
from pipeline.models.joins import seen_in

Cost = Callable[[Tensor], Tensor]
# name -> what it costs the discriminator to give these verdicts to what is false, the generator to get them
LOSSES: Mapping[str, tuple[Cost, Cost]] = {
    "logistic": (F.softplus, lambda v: F.softplus(-v)),  # -log(1 - sigmoid), -log sigmoid (Goodfellow et al. 2014)
    "hinge": (lambda v: F.relu(1 + v), torch.neg),  # Lim & Ye 2017
}


def telling(kind: str, real: Tensor, made: Tensor, wrong: Tensor, mismatched: Tensor) -> Tensor:
    """The discriminator's loss by its verdicts [B, P] on real rows, made ones, and real ones under wrong conditions,
    of which those count that really are `mismatched` [B]."""
    cost, _ = LOSSES[kind]
    errors = (cost(wrong).mean(1) * mismatched).sum() / mismatched.sum().clamp(min=1)
    return cost(-real).mean() + (cost(made).mean() + errors) / 2


def fooling(kind: str, made: Tensor) -> Tensor:
    """The generator's loss by the verdicts [B, P] on what it made."""
    return LOSSES[kind][1](made).mean()


def steepness(real: Tensor, near: Tensor, sigma: float) -> Tensor:
    """|dD/dx|^2, by verdicts [B, P] on real rows and on the same with noise of deviation sigma; mean of rows and P."""
    return ((near - real) / sigma).square().mean()


def mismatched(conditions: Conditions, keep: Keep, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """(modality -> [B] whose evidence each row gets, [B] whether anything is wrong with it now).

    A row gets the next one's evidence of one modality, drawn from those that it sees: one of several would be enough
    to tell by, and the others would never be looked at. A row that sees nothing keeps all, as does one whose neighbour
    lacks this modality or has the same.
    """
    rows = len(next(iter(keep.values())))
    seen = torch.stack([seen_in(conditions[m], keep[m]) for m in conditions])  # [M, B]
    chances = torch.rand(seen.shape, generator=generator).to(seen.device)
    chosen = torch.where(seen, chances, -1.0).argmax(0)  # [B]
    own, index = torch.arange(rows, device=seen.device), {}
    other, wrong = own.roll(-1), torch.zeros_like(seen[0])
    for place, (m, condition) in enumerate(conditions.items()):
        differs = (condition.pooled != condition.pooled[other]).any(1)
        swapped = (chosen == place) & seen[place] & condition.present[other] & differs
        index[m], wrong = torch.where(swapped, other, own), wrong | swapped
    return index, wrong
