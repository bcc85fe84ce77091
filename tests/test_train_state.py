"""What a training keeps and how its rates run: schedules, averages, checkpoints; without Ray."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.settings import SettingsError
from pipeline.train.schedule import SCHEDULES, learning_rate, schedule
from pipeline.train.settings import Optimiser
from pipeline.train.state import State, averaging

OPTIONS = Optimiser(2, 1, 4, 1, 1e-2, "cosine", 10, 0.0, 0.5, 1.0, "float32", 4096)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [learning_rate(OPTIONS, s, 100) for s in range(101)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == rates[10] == pytest.approx(1e-2)
    assert rates[55] == pytest.approx(0.5e-2)
    assert rates[100] == pytest.approx(0)


def stairs(done: float) -> float:
    return 1.0 if done < 0.5 else 0.1


def test_schedules_by_name() -> None:
    assert {name: function(0) for name, function in SCHEDULES.items()} == dict.fromkeys(SCHEDULES, 1)
    ends = {name: round(function(1), 6) for name, function in SCHEDULES.items()}
    assert ends == dict.fromkeys(SCHEDULES, 0) | {"constant": 1}
    assert SCHEDULES["linear"](0.25) == 0.75
    own = dataclasses.replace(OPTIONS, schedule="tests.test_train_state:stairs")
    assert learning_rate(own, 90, 100) == pytest.approx(1e-3)
    with pytest.raises(SettingsError, match=r"optimiser.schedule=cosin; known: constant, linear"):
        schedule("cosin")


def test_a_short_training_does_not_end_with_its_first_weights() -> None:
    value = 0.0
    for step in range(301):
        value += (1 - averaging(0.999, step)) * (1 - value) if step else 0
    assert value > 0.999
    assert 0.999**300 > 0.7  # what a constant decay would have kept of the zero
    assert averaging(0.999, 1_000_000) == 0.999
    assert averaging(0.999, 0) == 0


class Masked(nn.Module):
    """A network whose buffer holds infinities, as attention masks do."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(3, 4), nn.Linear(4, 1)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave((self.enter(x) + self.mask).softmax(-1))


def step(state: State, x: torch.Tensor) -> None:
    state.network(x).square().mean().backward()
    state.advance()


def test_the_average_is_there_while_it_is_asked_for() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3)
    state = State(Masked(), OPTIONS)
    seen = []
    for _ in range(3):
        step(state, x)
        seen.append(state.network.enter.weight.detach().clone())
    expected = seen[0]
    for n, weights in enumerate(seen[1:], 1):
        expected = expected + (1 - averaging(0.5, n)) * (weights - expected)
    with state.averaged() as network:
        assert not network.training
        assert torch.allclose(network.enter.weight, expected, atol=1e-7)
        assert network(x).isfinite().all()
    assert state.network.training
    assert torch.equal(state.network.enter.weight, seen[-1])


def test_a_state_survives_its_checkpoint_bit_by_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3)
    first = State(Masked(), OPTIONS)
    for _ in range(3):
        step(first, x)
    average = first.save(tmp_path)
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".safetensors", ".json")]
    second = State(Masked(), OPTIONS)
    second.load(tmp_path)
    assert second.position == first.position
    with second.averaged() as network:
        assert all(torch.equal(network.state_dict()[name], value) for name, value in average.items())
    for state in (first, second):
        step(state, x)
    for a, b in zip(first.parameters + first.average, second.parameters + second.average, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.parameters[0], copy.copy(average["enter.weight"]))
