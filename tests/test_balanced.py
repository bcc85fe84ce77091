"""Balanced guidance: lengths in closed form, what it leaves alone, and that it is a scheme like any other."""

import pytest
import torch

from pipeline.diffusion.balanced import LIMIT, balance
from pipeline.diffusion.guidance import branches
from pipeline.diffusion.schemes import Subset, subsets

NONE, A, B = frozenset[str](), frozenset("a"), frozenset("b")
SUBSETS: tuple[Subset, ...] = (NONE, A, B)


def pulls(a: float, b: float, rows: int = 2) -> torch.Tensor:
    """Predictions [3, rows, 2, 2] of branches whose pulls have these lengths, at right angles."""
    eps = torch.randn(1, rows, 2, 2, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1, 1)
    eps[1, :, 0, 0] += a
    eps[2, :, 1, 1] += b
    return eps


def weights(a: float, b: float, rows: int = 2) -> torch.Tensor:
    return torch.tensor([[1 - a - b], [a], [b]], dtype=torch.float32).repeat(1, rows)


@pytest.mark.parametrize(("a", "b"), [(2.0, 2.0), (3.0, 1.0), (0.5, 0.5)])
def test_all_conditions_pull_with_their_weights_alone(a: float, b: float) -> None:
    eps = pulls(1.0, 2.0)
    found = balance(1.0, eps, weights(a, b), SUBSETS)
    assert torch.allclose(found.sum(0), torch.ones(2))
    long, short = found[2] * 2.0, found[1] * 1.0  # weight times length
    assert torch.allclose(short / long, torch.full((2,), a / b))
    assert torch.allclose(short + long, torch.full((2,), a * 1.0 + b * 2.0))  # as hard as composed pulls in all


def test_equal_pulls_and_missing_conditions_are_left_as_they_are() -> None:
    assert torch.allclose(balance(1.0, pulls(3.0, 3.0), weights(2, 1), SUBSETS), weights(2, 1))
    lacking = balance(1.0, pulls(3.0, 0.0), weights(2, 1), SUBSETS)
    assert torch.allclose(lacking, weights(2, 1))  # b says nothing, so its weight is nothing to anybody
    assert lacking.isfinite().all()


def test_little_is_stretched_so_far_and_rounding_is_nothing() -> None:
    found = balance(1.0, pulls(1.0, 0.01), weights(1, 1), SUBSETS)
    assert torch.allclose(found[2], torch.full((2,), LIMIT))
    assert torch.allclose(balance(1.0, pulls(1.0, 1e-5), weights(2, 1), SUBSETS), weights(2, 1))


def test_a_condition_may_push_away() -> None:
    found = balance(1.0, pulls(1.0, 2.0), weights(1, -1), SUBSETS)
    assert torch.allclose(found[1] * 1.0, torch.full((2,), 1.5))
    assert torch.allclose(found[2] * 2.0, torch.full((2,), -1.5))


def test_rows_do_not_depend_on_each_other() -> None:
    eps = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(3))
    together = balance(1.0, eps, weights(2, 3, 5), SUBSETS)
    alone = torch.cat([balance(1.0, eps[:, [r]], weights(2, 3, 1), SUBSETS) for r in range(5)], 1)
    assert torch.equal(together, alone)


def test_it_is_a_scheme_that_keeps_all_its_branches() -> None:
    needed = subsets("balanced", "ab", [{"a": 0.5, "b": 0.5}])
    assert set(needed) == {NONE, A, B}  # though the table has nothing for NONE
    made = branches("balanced", "ab", needed, [{"a": 0.5, "b": 0.5}] * 2)
    eps = pulls(1.0, 2.0)[[SUBSETS.index(s) for s in needed]]
    guided = made.combine(1.0, eps) - pulls(0, 0)[0]
    assert torch.allclose(guided[:, 0, 0], guided[:, 1, 1], atol=1e-6)  # each pulls 0.75
    assert torch.allclose(guided[:, 0, 0], torch.full((2,), 0.75), atol=1e-6)
