import dataclasses

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pipeline.conditions import Condition
from pipeline.models.fusion import JOINS, Fusion
from pipeline.models.joins import Mix, Pack
from pipeline.settings import SettingsError

ROWS, DIM = 3, 8
SIZES = {"text": (5, 6), "sketch": (1, 4)}  # modality -> (tokens, width)
CHANNELS = [4, 6]


def evidence(name: str, seed: int, present: list[bool] | None = None) -> Condition:
    g = torch.Generator().manual_seed(seed)
    length, width = SIZES[name]
    maps = tuple(torch.randn(ROWS, c, 4, 4, generator=g) for c in CHANNELS) if name == "sketch" else ()
    return Condition(
        tokens=torch.randn(ROWS, length, width, generator=g),
        mask=torch.tensor(
            [[True] * (length - r if length > 1 else 1) + [False] * (r if length > 1 else 0) for r in range(ROWS)]
        ),
        pooled=torch.randn(ROWS, width, generator=g),
        maps=maps,
        present=torch.tensor(present or [True] * ROWS),
    )


WIDTHS = {m: width for m, (_, width) in SIZES.items()}


def random(join: str = "tokens", hidden: int = 16) -> Fusion:
    torch.manual_seed(0)
    made = Fusion(WIDTHS, WIDTHS, {"sketch": CHANNELS}, DIM, hidden, join)
    for parameter in made.parameters():  # nothing is zero any more
        torch.nn.init.normal_(parameter, std=0.5)
    return made.requires_grad_(False)


@pytest.fixture
def fusion() -> Fusion:
    return random()


def keep(**flags: list[bool]) -> dict[str, Tensor]:
    return {m: torch.tensor(flags.get(m, [True] * ROWS)) for m in SIZES}


T = torch.tensor([0.0, 500.0, 999.0])


def test_gates_are_open_at_first_and_learn() -> None:
    fresh = Fusion(tokens=WIDTHS, pooled=WIDTHS, maps={"sketch": CHANNELS}, dim=DIM)
    both = {m: evidence(m, 1) for m in SIZES}
    for gate in fresh.gates(both, keep(), T).values():
        assert torch.allclose(gate, torch.tensor(1.0).tanh())
    tokens, _, maps = fresh(both, keep(), T)
    (tokens.sum() + sum(m.sum() for m in maps)).backward()
    assert fresh.gate[-1].weight.grad.abs().sum() > 0


def test_shapes(fusion: Fusion) -> None:
    tokens, mask, maps = fusion({m: evidence(m, 1) for m in SIZES}, keep(), T)
    assert tokens.shape == (ROWS, 6, DIM)
    assert mask.shape == (ROWS, 6)
    assert [m.shape for m in maps] == [(ROWS, c, 4, 4) for c in CHANNELS]


VARIANTS = [(join, hidden) for join in JOINS for hidden in (16, 0)]


@pytest.mark.parametrize(("join", "hidden"), VARIANTS)
@given(flags=st.lists(st.booleans(), min_size=ROWS, max_size=ROWS))
@settings(max_examples=8, deadline=None)
def test_dropped_equals_missing_and_hides_the_evidence(join: str, hidden: int, flags: list[bool]) -> None:
    made = random(join, hidden)
    text = evidence("text", 1)
    dropped = made({"text": text, "sketch": evidence("sketch", 2)}, keep(sketch=flags), T)
    missing = made({"text": text, "sketch": evidence("sketch", 2, present=flags)}, keep(), T)
    other = made({"text": text, "sketch": evidence("sketch", 3)}, keep(sketch=flags), T)
    hidden = ~torch.tensor(flags)
    for a, b, c in zip(dropped[:2], missing[:2], other[:2], strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[hidden], c[hidden])
    for level, (a, b, c) in enumerate(zip(dropped[2], missing[2], other[2], strict=True)):
        assert torch.equal(a, b), level
        assert torch.equal(a[hidden], c[hidden])
        assert bool((a[~hidden] != c[~hidden]).any()) == bool((~hidden).any())


@pytest.mark.parametrize(("join", "hidden"), VARIANTS)
def test_every_parameter_learns(join: str, hidden: int) -> None:
    made = random(join, hidden).requires_grad_(True)
    both = {m: evidence(m, 1) for m in SIZES}
    tokens, mask, maps = made(both, keep(text=[True, True, False], sketch=[True, False, True]), T)
    (tokens[mask].square().sum() + sum(m.sum() for m in maps)).backward()
    assert [name for name, value in made.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("hidden", [16, 0])
def test_attention_begins_as_plain_tokens(hidden: int) -> None:
    torch.manual_seed(0)
    fresh = Fusion(WIDTHS, WIDTHS, {"sketch": CHANNELS}, DIM, hidden, "attention")
    both = {m: evidence(m, 1) for m in SIZES}
    plain = Fusion(WIDTHS, WIDTHS, {"sketch": CHANNELS}, DIM, hidden)
    plain.load_state_dict({k: v for k, v in fresh.state_dict().items() if not k.startswith("mix.")})
    for a, b in zip(fresh(both, keep(), T)[:2], plain(both, keep(), T)[:2], strict=True):
        assert torch.equal(a, b)


def test_attention_sees_no_masked_token() -> None:
    made, both = random("attention"), {m: evidence(m, 1) for m in SIZES}
    _, mask, _ = made(both, keep(), T)
    padded = both["text"].tokens + 9 * ~both["text"].mask[..., None]
    other = {**both, "text": dataclasses.replace(both["text"], tokens=padded)}
    assert torch.allclose(made(both, keep(), T)[0][mask], made(other, keep(), T)[0][mask])


def test_pooled_vectors_become_one_token() -> None:
    made, both = random("pooled"), {m: evidence(m, 1) for m in SIZES}
    tokens, mask, _ = made(both, keep(), T)
    assert tokens.shape == (ROWS, 1, DIM)
    assert mask.all()
    vector = torch.cat([made.gates(both, keep(), T)[m][:, None] * both[m].pooled for m in sorted(SIZES)], 1)
    assert torch.allclose(tokens[:, 0], made.pack.project(vector))


def test_joins_alone() -> None:
    tokens = torch.randn(2, 5, DIM)
    assert torch.equal(Mix(DIM)(tokens, torch.ones(2, 5, dtype=torch.bool)), tokens)  # the identity at first
    both, never = {m: evidence(m, 1) for m in SIZES}, keep(text=[False] * ROWS, sketch=[False] * ROWS)
    token = Pack(WIDTHS, DIM)(both, never, dict.fromkeys(SIZES, torch.ones(ROWS)))
    assert torch.equal(token[0], token[1])  # nothing is seen: the learned nulls


def test_another_way_to_join_is_refused() -> None:
    with pytest.raises(SettingsError, match="joins by one of tokens, attention, pooled"):
        Fusion(WIDTHS, WIDTHS, {"sketch": CHANNELS}, DIM, join="sum")


def test_a_null_is_one_unmasked_token(fusion: Fusion) -> None:
    both = {m: evidence(m, 1) for m in SIZES}
    tokens, mask, _ = fusion(both, keep(text=[False] * ROWS), T)
    assert mask[:, 1:].tolist() == [[True, False, False, False, False]] * ROWS  # after the sketch's one token
    assert torch.equal(tokens[:, 1], fusion.null_token["text"].expand(ROWS, DIM))


def test_gates_depend_on_evidence_and_time(fusion: Fusion) -> None:
    both = {m: evidence(m, 1) for m in SIZES}
    here = fusion.gates(both, keep(), T)
    later = fusion.gates(both, keep(), T + 100)
    others = fusion.gates({**both, "text": evidence("text", 9)}, keep(), T)
    assert not torch.allclose(here["sketch"], later["sketch"])
    assert not torch.allclose(here["sketch"], others["sketch"])
    assert all(g.abs().max() <= 1 for g in here.values())


def test_round_trip_through_a_folder(fusion: Fusion, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fusion")
    fusion.save_pretrained(folder)
    both = {m: evidence(m, 1) for m in SIZES}
    for a, b in zip(Fusion.from_pretrained(folder)(both, keep(), T)[:2], fusion(both, keep(), T)[:2], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("hidden", [0, 16])
def test_half_precision_stays_half_precision(join: str, hidden: int) -> None:
    half = {m: evidence(m, 1, [True, False, True]).to("cpu", torch.bfloat16) for m in SIZES}
    tokens, _, maps = random(join, hidden).to(torch.bfloat16)(half, keep(), T)
    assert {x.dtype for x in (tokens, *maps)} == {torch.bfloat16}
