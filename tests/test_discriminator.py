"""The discriminator's verdicts: on any subset of the conditions, and by nothing that is not seen."""

import dataclasses

import pytest
import torch

from pipeline.conditions import Condition, Conditions
from pipeline.models.discriminator import Discriminator, Pair

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


def test_a_pair_is_one_network_of_two() -> None:
    pair = Pair(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    x = torch.ones(1, 2)
    assert torch.equal(pair(lambda make, judge: judge(make(x))), pair.discriminator(pair.generator(x)))
