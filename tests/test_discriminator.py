"""The discriminator's verdicts: on any subset of the conditions, and by nothing that is not seen."""

import dataclasses

import pytest
import torch

from pipeline.conditions import Condition, Conditions
from pipeline.models.discriminator import Discriminator, Pair
from pipeline.train.adversary import telling

ROWS, SIDE = 5, 8


@pytest.fixture
def judge() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(4, {"text": 6, "sketch": 7}, {"sketch": (1, 4)}, [16, 32])


def conditions(seed: int) -> Conditions:
    generator = torch.Generator().manual_seed(seed)

    def evidence(length: int, width: int, maps: tuple[torch.Tensor, ...]) -> Condition:
        tokens = torch.randn(ROWS, length, width, generator=generator)
        there = torch.ones(ROWS, length, dtype=torch.bool)
        return Condition(tokens, there, tokens[:, 0], maps, there[:, 0])

    sketch = torch.rand(ROWS, 1, 4 * SIDE, 4 * SIDE, generator=generator)
    return {"text": evidence(3, 6, ()), "sketch": evidence(1, 7, (sketch,))}


def seeing(*modalities: str) -> dict[str, torch.Tensor]:
    return {m: torch.full((ROWS,), m in modalities) for m in ("text", "sketch")}


def test_every_place_has_a_verdict(judge: Discriminator) -> None:
    assert judge(torch.randn(ROWS, 4, SIDE, SIDE), conditions(0), seeing("text", "sketch")).shape == (ROWS, 16)


@pytest.mark.parametrize("seen", [(), ("text",), ("sketch",), ("text", "sketch")])
def test_only_what_is_seen_has_a_say(judge: Discriminator, seen: tuple[str, ...]) -> None:
    x_0, own, other = torch.randn(ROWS, 4, SIDE, SIDE), conditions(0), conditions(1)
    before = judge(x_0, own, seeing(*seen))
    for m in own:
        changed = not torch.equal(judge(x_0, {**own, m: other[m]}, seeing(*seen)), before)
        assert changed == (m in seen)
    absent = {m: c if m in seen else c.withhold(torch.ones(ROWS, dtype=torch.bool)) for m, c in own.items()}
    assert torch.equal(judge(x_0, absent, seeing("text", "sketch")), before)


def test_padding_of_a_text_has_no_say(judge: Discriminator) -> None:
    own, x_0 = conditions(0), torch.randn(ROWS, 4, SIDE, SIDE)
    mask = own["text"].mask.clone()
    mask[:, 2] = False
    text = dataclasses.replace(own["text"], mask=mask)
    other = dataclasses.replace(text, tokens=text.tokens.index_fill(1, torch.tensor([2]), 9.0))
    first, second = (judge(x_0, {**own, "text": t}, seeing("text")) for t in (text, other))
    assert torch.equal(first, second)


def test_verdicts_are_not_rounded_to_eight_bits(judge: Discriminator) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = judge(torch.randn(ROWS, 4, SIDE, SIDE), conditions(0), seeing("text"))
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


def test_it_learns_which_text_a_real_row_belongs_to() -> None:
    """Each channel of x_0 follows one number of the token: with others' tokens real rows are as wrong as made ones."""
    torch.manual_seed(0)
    judge = Discriminator(4, {"text": 4}, {}, [16, 16])
    optimiser = torch.optim.Adam(judge.parameters(), 3e-3)
    seen, there = {"text": torch.ones(32, dtype=torch.bool)}, torch.ones(32, 1, dtype=torch.bool)
    for _ in range(150):
        x_0 = torch.randn(32, 4, 1, 1)
        text = [Condition(t[:, None], there, t, (), there[:, 0]) for t in (x_0[:, :, 0, 0], x_0[:, :, 0, 0].roll(1, 0))]
        x_0 = x_0 + 0.1 * torch.randn(32, 4, 4, 4)
        right, wrong = (judge(x_0, {"text": t}, seen) for t in text)
        made = judge(torch.randn(32, 4, 4, 4), {"text": text[0]}, seen)
        optimiser.zero_grad()
        telling("logistic", right, made, wrong, there[:, 0]).backward()
        optimiser.step()
    assert right.mean() > 0.5 > -0.5 > wrong.mean()


def test_a_pair_is_one_network_of_two() -> None:
    pair = Pair(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    x = torch.ones(1, 2)
    assert torch.equal(pair(lambda make, judge: judge(make(x))), pair.discriminator(pair.generator(x)))
