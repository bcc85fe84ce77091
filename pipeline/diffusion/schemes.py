"""Guidance schemes: what each says of one row, as a table of branches and their weights.

Every published scheme has the form  eps = sum_k w_k * eps(x_t | subset_k)  with  sum_k w_k = 1:

    none       {all}: 1
    single     {}: 1 - s,  {all}: s                              classifier-free guidance (Ho & Salimans 2022)
    composed   {}: 1 - sum_i l_i,  {i}: l_i                      Composable Diffusion (Liu et al. 2022)
    chained    {}: 1 - s_a,  {a}: s_a - s_b,  {a, b}: s_b, ...   InstructPix2Pix (Brooks et al. 2023)
    balanced   as composed, but scaled at every step so that all conditions pull equally hard (balanced.py)

A new scheme is one `Scheme`, here or in a module of your own, named "module:attribute" in guidance.scheme.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pipeline.settings import SettingsError, resolve

Subset = frozenset[str]  # the modalities that a branch may see
Weights = Mapping[str, float]  # modality (or "all") -> guidance weight of one row
Table = dict[Subset, float]  # what a scheme says of one row


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How weights become branches: `table` of one row, `uses` names the weights that it reads."""

    table: Callable[[Sequence[str], Weights], Table]
    uses: Callable[[Sequence[str]], tuple[str, ...]] = tuple
    reweigh: str | None = (
        None  # "module:attribute" of a dynamic scheme's guidance.Reweigh; None: the table always holds
    )


def _none(modalities: Sequence[str], _: Weights) -> Table:
    return {frozenset(modalities): 1.0}


def _single(modalities: Sequence[str], weights: Weights) -> Table:
    return {frozenset(): 1 - weights["all"], frozenset(modalities): weights["all"]}


def _composed(modalities: Sequence[str], weights: Weights) -> Table:
    table: Table = {frozenset([m]): weights[m] for m in modalities}
    return {frozenset(): 1 - sum(table.values()), **table}


def _chained(modalities: Sequence[str], weights: Weights) -> Table:
    scales = [1.0, *(weights[m] for m in modalities), 0.0]
    return {frozenset(modalities[:k]): scales[k] - scales[k + 1] for k in range(len(modalities) + 1)}


SCHEMES: Mapping[str, Scheme] = {
    "none": Scheme(_none, uses=lambda modalities: ()),
    "single": Scheme(_single, uses=lambda modalities: ("all",)),
    "composed": Scheme(_composed),
    "chained": Scheme(_chained),
    "balanced": Scheme(_composed, reweigh="pipeline.diffusion.balanced:balance"),
}


def scheme(name: str) -> Scheme:
    """A scheme by its name above, or anybody's as "module:attribute"."""
    if name in SCHEMES:
        return SCHEMES[name]
    if ":" not in name:
        raise SettingsError(f"unknown guidance={name}; known: {', '.join(SCHEMES)}, or module:attribute")
    found: Scheme = resolve(name)
    return found


def subsets(name: str, modalities: Sequence[str], cells: Sequence[Weights]) -> tuple[Subset, ...]:
    """Branches that any cell of a plan needs: a branch whose weight is zero in all of them costs and adds nothing,
    unless weights change from step to step.

    Every batch of the run evaluates exactly these, so that no row's bytes depend on its neighbours' weights.
    """
    tables = [scheme(name).table(modalities, weights) for weights in cells]
    dynamic = scheme(name).reweigh is not None
    return tuple(s for s in tables[0] if dynamic or any(t[s] for t in tables))
