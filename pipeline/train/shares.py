"""How large a share of a training's rows lacks which conditions, so that the network can be asked with any subset.

A share of the rows is to lack one modality (`drop_each`), another to lack all of them (`drop_all`). What rows lack by
themselves counts: conditions are dropped only where too few rows lack them, and where too many do, rows that lack
nothing are read more often, though none more than AGAIN times as often. Without that a denoiser whose rows lacked half
of all texts and half of all sketches saw a whole row in one step of four, and was as good as one that has learnt so
much less.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.models.fusion import Keep
from pipeline.train.data import Batch, Places

AGAIN = 10  # times that a row comes in one pass, at most: a handful of whole rows must not be all that is learnt


def order(rows: Batch, modalities: Sequence[str], options: Mapping[str, Any], rng: np.random.Generator) -> Places:
    """Places of rows in the order in which they are trained on; as many as there are rows. Those that lack something
    come once at most, and in no larger share than is wanted; in place of the others, those that lack nothing come
    again. Where so few lack nothing that they would come more than AGAIN times, others keep their places."""
    drawn = rng.permutation(len(rows[f"has_{modalities[0]}"]))
    has = np.stack([np.asarray(rows[f"has_{m}"], bool) for m in modalities], 1)[drawn]  # [N, M]
    whole = drawn[has.all(1)]
    if len(whole) in (0, len(drawn)):
        return drawn
    count = has.sum(1)
    one_less = count == len(modalities) - 1
    lacking = [(options["drop_all"], count == 0)]
    lacking += [(options["drop_each"], one_less & ~own) for own in has.T]
    taken = np.concatenate([drawn[own][: round(share * len(drawn))] for share, own in lacking])
    left = np.setdiff1d(drawn[~has.all(1)], taken)
    too_few = max(0, len(drawn) - len(taken) - AGAIN * len(whole))
    taken = np.concatenate([taken, rng.permutation(left)[:too_few]])
    again = -(-(len(drawn) - len(taken)) // len(whole))
    repeated = np.concatenate([rng.permutation(whole) for _ in range(again)])
    places = rng.permutation(len(drawn)) < len(taken)  # where those stand that lack something
    made = np.empty_like(drawn)
    made[places], made[~places] = rng.permutation(taken), repeated[: len(drawn) - len(taken)]
    return made


def draw_keep(present: Mapping[str, Tensor], options: Mapping[str, Any], generator: torch.Generator) -> Keep:
    """Which modalities each row may see, of those that are `present` [B] in it.

    Rows that lack modalities by themselves count; what a share wants yet is dropped from rows that lack nothing.
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
