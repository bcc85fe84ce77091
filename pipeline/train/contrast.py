"""What contrastive stages share: the loss between two modalities of a batch's rows, and how well they find each other.

With several workers, all of them compare all rows: embeddings are gathered with their gradients, as open_clip does
(`gather_with_grad`), so that DDP's mean over workers is the gradient of one worker that has every row.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

RANKS = (1, 5, 10)


def contrastive(logits: Tensor, positives: Tensor, hardness: float = 0.0) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021) of logits [B, B], where positives [B, B] share each row's probability
    equally. For `hardness` see `harder`."""
    rows, columns = positives / positives.sum(1, keepdim=True), positives.T / positives.T.sum(1, keepdim=True)
    one, two = (harder(x, p, hardness) if hardness else x for x, p in ((logits, positives), (logits.T, positives.T)))
    return (F.cross_entropy(one, rows) + F.cross_entropy(two, columns)) / 2


def harder(logits: Tensor, positives: Tensor, hardness: float) -> Tensor:
    """Logits in whose softmax a row's negatives weigh exp(hardness * logit), on average 1: those that are nearest weigh
    the most (Robinson et al. 2021, "Contrastive learning with hard negative samples", equation 4, beta = hardness)."""
    negative = positives == 0
    scaled = (hardness * logits).masked_fill(~negative, -torch.inf)
    mean = scaled.logsumexp(1, keepdim=True) - negative.sum(1, keepdim=True).clamp(min=1).log()
    return torch.where(negative, logits + scaled - mean, logits)


def between(
    one: Tensor, two: Tensor, both: Tensor, scale: Tensor, positives: Tensor, hardness: float = 0.0
) -> Tensor | None:
    """The loss between unit vectors [B, E] of two modalities, over the rows that have `both` [B]; None where fewer than
    two have."""
    if int(both.sum()) < 2:
        return None
    return contrastive(scale * one[both] @ two[both].T, positives[both][:, both], hardness)


def recall(similarity: NDArray[np.floating], k: int) -> float:
    """Share of rows [N, N] whose own column is among the k nearest; of equals, half are nearer. NaN of no row."""
    if not len(similarity):
        return math.nan
    own = np.diagonal(similarity)[:, None]
    before = (similarity > own).sum(1) + ((similarity == own).sum(1) - 1) / 2
    return float((before < k).mean())


def gap(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """Modality gap: the distance of two modalities' mean unit vectors (Liang et al. 2022), 0 to 2. NaN of no row."""
    return float(np.linalg.norm(one.mean(0) - two.mean(0))) if len(one) else math.nan


def found(
    spaces: Mapping[str, NDArray[np.floating]],
    has: Mapping[str, NDArray[np.bool_]],
    pairs: Sequence[Sequence[str]],
) -> dict[str, float]:
    """Recall at RANKS each way and the gap of pairs of modalities, of unit vectors [N, E] in the rows that have [N]
    both."""
    figures: dict[str, float] = {}
    for one, two in pairs:
        both = has[one] & has[two]
        similarity = spaces[one][both] @ spaces[two][both].T
        for k in RANKS:
            figures[f"{one}_to_{two}_r{k}"] = recall(similarity, k)
            figures[f"{two}_to_{one}_r{k}"] = recall(similarity.T, k)
        figures[f"gap_{one}_{two}"] = gap(spaces[one][both], spaces[two][both])
    return figures
