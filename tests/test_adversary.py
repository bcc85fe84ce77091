"""What generator and discriminator want of each other, in closed form."""

import math

import pytest
import torch

from pipeline.conditions import Condition
from pipeline.train import adversary

ALL = torch.ones(4, dtype=torch.bool)


def verdicts(value: float) -> torch.Tensor:
    return torch.full((4, 3), float(value))


@pytest.mark.parametrize(("kind", "undecided"), [("hinge", 1.0), ("logistic", math.log(2))])
def test_what_verdicts_cost(kind: str, undecided: float) -> None:
    def cost(real: float, made: float, wrong: float) -> float:
        return float(adversary.telling(kind, verdicts(real), verdicts(made), verdicts(wrong), ALL))

    assert cost(0, 0, 0) == pytest.approx(2 * undecided)
    assert cost(30, -30, -30) == pytest.approx(0, abs=1e-6)
    assert cost(30, 0, -30) == cost(30, -30, 0) == pytest.approx(undecided / 2)  # two halves beside the real rows
    assert cost(0, -30, -30) == pytest.approx(undecided)
    assert adversary.fooling(kind, verdicts(1)) < adversary.fooling(kind, verdicts(-1))


def test_hinge_stops_where_it_is_sure_and_its_generator_never_does() -> None:
    assert adversary.telling("hinge", verdicts(1), verdicts(-1), verdicts(-1), ALL) == 0
    assert adversary.telling("hinge", verdicts(0.5), verdicts(-1), verdicts(-1), ALL) == 0.5
    assert adversary.fooling("hinge", verdicts(7)) == -7


def test_rows_that_are_not_mismatched_do_not_count() -> None:
    wrong = verdicts(-30)
    wrong[2:] = 30
    right = ~(wrong[:, 0] < 0)
    assert adversary.telling("logistic", verdicts(30), verdicts(-30), wrong, ~right) == pytest.approx(0, abs=1e-6)
    assert adversary.telling("logistic", verdicts(30), verdicts(-30), wrong, right) == pytest.approx(15)
    assert adversary.telling("logistic", verdicts(30), verdicts(-30), wrong, ~ALL) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.01, 1.0])
def test_steepness_of_a_linear_discriminator_is_its_slope_squared(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(20, generator=generator)
    x, noise = torch.randn(2, 40_000, 20, generator=generator).double()
    real, near = ((v @ slope.double())[:, None] for v in (x, x + sigma * noise))
    assert float(adversary.steepness(real, near, sigma)) == pytest.approx(float(slope.square().sum()), rel=0.03)


def evidence(values: list[float], present: list[bool]) -> Condition:
    pooled = torch.tensor(values)[:, None]
    return Condition(pooled[:, None], torch.ones(len(values), 1, dtype=torch.bool), pooled, (), torch.tensor(present))


def test_a_row_gets_one_wrong_condition_that_it_sees() -> None:
    rows = 400
    conditions = {
        "text": evidence([float(i) for i in range(rows)], [True] * rows),
        "sketch": evidence([float(i) for i in range(rows)], [i % 4 != 0 for i in range(rows)]),
    }
    generator = torch.Generator().manual_seed(0)
    keep = {m: torch.rand(rows, generator=generator) < 0.7 for m in conditions}
    index, wrong = adversary.mismatched(conditions, keep, generator)
    own = torch.arange(rows)
    swapped = {m: i != own for m, i in index.items()}
    assert torch.equal(swapped["text"] ^ swapped["sketch"], wrong)  # never both
    assert not (swapped["text"] & ~keep["text"]).any()
    assert not (swapped["sketch"] & ~(keep["sketch"] & conditions["sketch"].present)).any()
    assert conditions["sketch"].present[index["sketch"]][swapped["sketch"]].all()  # nothing in its place is not wrong
    both = keep["text"] & keep["sketch"] & conditions["sketch"].present
    assert swapped["text"][both].float().mean() == pytest.approx(0.5, abs=0.1)
    assert not wrong[~keep["text"] & ~keep["sketch"]].any()
    assert wrong[keep["text"] & ~keep["sketch"]].all()


def test_the_same_evidence_of_another_row_is_not_wrong() -> None:
    index, wrong = adversary.mismatched({"text": evidence([1, 1, 2], [True] * 3)}, {"text": ALL[:3]}, torch.Generator())
    assert wrong.tolist() == [False, True, True]
    assert index["text"].tolist() == [0, 2, 0]
    assert not adversary.mismatched({"text": evidence([1], [True])}, {"text": ALL[:1]}, torch.Generator())[1].any()
