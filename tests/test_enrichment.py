"""Asking language models: templates, an endpoint that fails in every way, a local model, texts asked for once."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import enrichment, storage
from pipeline.enrichment import Ask, RefusalError, Template, endpoint, weights
from pipeline.enrichment.endpoint import Endpoint
from pipeline.enrichment.local import Draws, Local
from pipeline.enrichment.texts import Texts
from pipeline.language import Enrich, problems
from pipeline.patience import StorageError
from pipeline.settings import RunError, SettingsError
from tests import language
from tests.language import RESET, Answer, caption, said, serving

BASE = Enrich("tiny", None, "starter:enrich.txt", 1, 1.0, 64, {}, "keep", 4, 60.0, 3)
ASK = Ask("a box", 5)


def at(server: str, **more: Any) -> Endpoint:
    return Endpoint(dataclasses.replace(BASE, endpoint=server, **more))


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "WAIT", 0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language.folder(tmp_path_factory.mktemp("language"))


@pytest.mark.parametrize("text", ["{text}", "{0} {x!r} %s $text", "a {text} b {text", "\\1 \\g<0>"])
def test_a_text_is_data_to_its_template(text: str) -> None:
    assert Template("say {text}, twice {text}").prompt(text) == f"say {text}, twice {text}"


def test_a_template_needs_a_place_for_the_text_and_is_known_by_its_content(tmp_path: Path) -> None:
    for name, content in (("a", "x {text}"), ("b", "x {text}\n"), ("c", "y {text}"), ("none", "x { text }")):
        (tmp_path / name).write_text(content)
    a, b, c = (Template.read(str(tmp_path / name)).fingerprint for name in "abc")
    assert a == b != c
    with pytest.raises(SettingsError, match=r"enrich.template=.*none does not hold {text}"):
        Template.read(str(tmp_path / "none"))
    assert "{text}" in Template.read(BASE.template).content


def test_a_key_changes_with_all_that_decides_its_text_and_with_nothing_else() -> None:
    names = {"language": "m", "template": "t"}
    first = enrichment.recipe(BASE, names, 0)
    others = [
        enrichment.recipe(dataclasses.replace(BASE, temperature=0.5), names, 0),
        enrichment.recipe(dataclasses.replace(BASE, max_tokens=65), names, 0),
        enrichment.recipe(dataclasses.replace(BASE, options={"top_p": 0.9}), names, 0),
        enrichment.recipe(BASE, {**names, "language": "n"}, 0),
        enrichment.recipe(BASE, {**names, "template": "u"}, 0),
        enrichment.recipe(BASE, names, 1),
    ]
    keys = [enrichment.key(r, "a box", 0) for r in [first, *others]]
    keys += [enrichment.key(first, "a bo", 0), enrichment.key(first, "a box", 1)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= enrichment.seed(key) < 2**31 for key in keys)
    moved = dataclasses.replace(BASE, endpoint="http://elsewhere/v1", concurrency=9, timeout=1.0, tries=9)
    assert enrichment.recipe(moved, names, 0) == first


def test_answers_come_in_the_order_of_the_asks_from_requests_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4, timeout=20)

    def answer(body: dict[str, Any]) -> Answer:
        together.wait()  # only four requests at once come through
        return said(body["messages"][0]["content"].upper())

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with serving(answer) as server:
        asks = [Ask(f"box {i}", i) for i in range(8)]
        assert at(server.endpoint, options={"top_p": 0.9})(asks) == [f"BOX {i}" for i in range(8)]
    assert sorted(body["seed"] for body in server.bodies) == list(range(8))
    expected = {"model": "tiny", "temperature": 1.0, "max_tokens": 64, "top_p": 0.9}
    assert all(expected.items() <= body.items() for body in server.bodies)
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret"}


def test_what_passes_is_tried_again() -> None:
    answers = iter([(429, {}), (503, b"busy"), (RESET, b"x" * 100), said(" a red box ")])
    with serving(lambda _: next(answers)) as server:
        assert at(server.endpoint, tries=4)([ASK]) == ["a red box"]
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((400, {"error": {"message": "too long"}}), r"400: .*too long"),
        ((422, b"no"), "422: no"),
        (said(""), "an empty answer"),
        (said(None), "an empty answer"),
        (said(" \n "), "an empty answer"),
        (said("a box and", "length"), "more than enrich.max_tokens=64 tokens"),
        (said(None, refusal="I will not"), "declines: I will not"),
        (said("x", "content_filter"), "declines: content_filter"),
        (said("x" * 10_001), "10,001 characters"),
    ],
)
def test_what_cannot_be_used_is_that_texts_own_fault(answer: Answer, reason: str) -> None:
    with serving(lambda body: answer if body["seed"] == 1 else said("fine")) as server:
        good, bad, fine = at(server.endpoint)([Ask("a", 0), Ask("b", 1), Ask("c", 2)])
    assert (good, fine) == ("fine", "fine")
    assert isinstance(bad, RefusalError)
    with pytest.raises(RefusalError, match=reason):
        raise bad
    assert len(server.bodies) == 3  # such an answer is not asked for again


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ((500, b"broken"), StorageError, "answers 500, 3 times: broken"),
        ((429, b"slow down"), StorageError, "answers 429, 3 times: slow down"),
        ((401, b"who?"), RunError, r"answers 401 \(look at enrich.endpoint, .*OPENAI_API_KEY\): who\?"),
        ((404, b"no such model"), RunError, "answers 404 .*: no such model"),
        ((200, b"<html>"), RunError, "no chat completion: <html>"),
        ((200, {"choices": []}), RunError, "no chat completion"),
    ],
)
def test_a_faulty_server_ends_the_work(answer: Answer, error: type[Exception], reason: str) -> None:
    with serving(lambda _: answer) as server, pytest.raises(error, match=reason):
        at(server.endpoint)([ASK])


def test_a_server_that_is_down_or_silent_is_said_in_one_line() -> None:
    with serving(lambda _: said("")) as server:
        down = server.endpoint
    with pytest.raises(StorageError, match=r"does not answer, 3 times: .*refused") as raised:
        at(down)([ASK] * 9)
    assert "\n" not in str(raised.value)
    late = threading.Event()
    with serving(lambda _: said(str(late.wait(20)))) as server:
        with pytest.raises(StorageError, match=r"does not answer, 2 times: .*timed out"):
            at(server.endpoint, timeout=0.1, tries=2)([ASK])
        late.set()


def test_text_that_no_table_can_hold_is_made_such() -> None:
    assert enrichment.usable("a \ud800 box") == "a ? box"


class Counting:
    """A language model that never says the same twice."""

    def __init__(self, refuse: Sequence[str] = ()) -> None:
        self.asked: list[Ask] = []
        self.refuse = refuse

    def __call__(self, asks: Sequence[Ask]) -> list[str | RefusalError]:
        start = len(self.asked)
        self.asked += asks
        return [
            RefusalError("no") if ask.prompt in self.refuse else f"{ask.prompt} {start + i}"
            for i, ask in enumerate(asks)
        ]


def texts(model: Any, output: str, recipe: str = "r") -> Texts:
    return Texts(model, Template("{text}"), recipe, output)


@pytest.mark.parametrize("place", ["local", "s3"], indirect=True)
def test_texts_are_asked_for_once_and_kept_by_content(place: str) -> None:
    wants = [("a", 0), ("a", 1), ("b", 0), ("a", 0)]
    first, second = Counting(), Counting()
    found = texts(first, place)(wants)
    assert (found.asked, found.cached, len(first.asked)) == (3, 0, 3)
    assert len({ask.seed for ask in first.asked}) == 3
    again = texts(second, place)(reversed(wants))  # the order does not matter
    assert (again.asked, again.cached, second.asked) == (0, 3, [])
    assert again.texts == found.texts
    assert texts(second, place, "another recipe")(wants).asked == 3
    assert len(storage.list_objects(f"{place}/enriched", ".json")) == 2
    assert texts(first, place)([]).texts == {}


def test_of_two_runs_at_once_the_second_takes_the_firsts_texts(tmp_path: Path) -> None:
    class Slow(Counting):
        def __call__(self, asks: Sequence[Ask]) -> list[str | RefusalError]:
            self.others = texts(Counting(), str(tmp_path))([("b", 0), ("a", 0)]).texts  # is done meanwhile
            return super().__call__(asks)

    slow = Slow()
    assert texts(slow, str(tmp_path))([("a", 0), ("b", 0)]).texts == slow.others


def test_refusals_are_not_kept(tmp_path: Path) -> None:
    found = texts(Counting(["b"]), str(tmp_path))([("a", 0), ("b", 0)])
    assert isinstance(found.texts["b", 0], RefusalError)
    model = Counting()
    again = texts(model, str(tmp_path))([("a", 0), ("b", 0)])
    assert [ask.prompt for ask in model.asked] == ["b"]
    assert again.texts == {("a", 0): found.texts["a", 0], ("b", 0): "b 0"}


def local(folder: Path, **more: Any) -> Local:
    return Local(folder, "cpu", **{"batch_size": 4, "temperature": 1.0, "max_tokens": 200, **more})


def test_a_local_answer_does_not_depend_on_its_neighbours(folder: Path) -> None:
    asks = [Ask("a red box " * (1 + 7 * (i % 3)), seed=i) for i in range(7)]
    model = local(folder)
    whole = model(asks)
    assert all(isinstance(a, str) and set(a.split()) <= set(language.WORDS) for a in whole)
    assert [model([ask])[0] for ask in asks] == whole
    assert model(asks[::-1]) == whole[::-1]
    assert len(set(map(str, whole))) == 7
    assert model([dataclasses.replace(asks[0], seed=99)]) != whole[:1]


def test_temperature_zero_is_the_likeliest_words_whatever_the_seed(folder: Path) -> None:
    model = local(folder, temperature=0.0, max_tokens=20)
    one, other = (str(model([Ask("a red box", seed)])[0]) for seed in (1, 2))
    assert one == other


def test_what_a_local_model_cannot_do_is_refused(folder: Path) -> None:
    short, long = local(folder, max_tokens=1)([Ask("a box", 3), Ask("a box " * 400, 0)])
    assert "more than enrich.max_tokens=1 tokens" in str(short)
    assert "a prompt of 800 tokens is too long" in str(long)


def test_draws_follow_the_softmax() -> None:
    logits, count = torch.tensor([0.0, 1.0, 2.0, -torch.inf]), 4000
    draws = Draws(range(count), 2.0, "cpu")(torch.empty(0), logits.expand(count, 4)).argmax(1)
    share = torch.bincount(draws, minlength=4) / count
    assert torch.allclose(share, (logits / 2).softmax(0), atol=0.03)  # about four standard errors
    assert share[3] == 0


def test_only_safetensors_are_read(folder: Path, tmp_path: Path) -> None:
    assert set(weights(dataclasses.replace(BASE, model=str(folder)))) == {"language", "template"}
    assert weights(dataclasses.replace(BASE, model=None)) == {}
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"holds no .safetensors"):
        weights(dataclasses.replace(BASE, model=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"model": None, "endpoint": "http://x/v1"}, "needs enrich.model"),
        ({"endpoint": "host:8000"}, "is no URL"),
        ({"options": {"top_p": 1}}, "fields of requests"),
        ({"on_failure": "retry"}, "must be one of keep, fail"),
        ({"variants": 0}, "enrich.variants must be at least 1"),
        ({"tries": 0}, "enrich.tries must be at least 1"),
        ({"timeout": 0.0}, "more than 0 seconds"),
        ({"temperature": -1.0}, "at least 0"),
        ({"variants": 3}, "num_samples of at least as many, not 2"),
        ({"variants": 2, "temperature": 0.0}, "all of them are the same"),
    ],
)
def test_each_setting_that_cannot_be_used_is_named(change: dict[str, Any], answer: str) -> None:
    assert any(answer in p for p in problems(dataclasses.replace(BASE, **change), 2))
    assert not list(problems(BASE, 2))


def test_a_caption_is_found_again_in_the_prompt() -> None:
    prompt = Template.read(BASE.template).prompt("a box")
    assert caption({"messages": [{"content": prompt}]}) == "a box"
    assert Counter(prompt)["{"] == 0
