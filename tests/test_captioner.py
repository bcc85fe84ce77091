"""Captioners of transformers in the layouts in which they are published: what they say, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.prepared import Prepared
from pipeline.diffusion.captioning import Captioning
from pipeline.diffusion.guidance import everything
from pipeline.diffusion.noise import generators
from pipeline.diffusion.sampler import Guide
from pipeline.models.captioner import Captioner, problems
from pipeline.models.files import Files
from pipeline.results.text import SIDE, TextResult, written
from pipeline.scores import words
from pipeline.settings import SettingsError
from tests import captioners, make, tiny

GREEDY = {"max_tokens": 8, "beams": 1, "temperature": 0.0, "top_p": 1.0}
DRAWN = {**GREEDY, "temperature": 1.0, "top_p": 0.9}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captioners")


def seen(folder: Path) -> Condition:
    return Prepared.load(EncoderContext(str(folder), "cpu"))([np.asarray(tiny.picture(i)[0]) for i in range(3)])


@pytest.mark.parametrize("name", captioners.KNOWN)
def test_every_layout_says_something_that_no_neighbour_has_a_say_in(root: Path, name: str) -> None:
    folder = captioners.folder(name, root)
    maps = seen(folder).maps[0]
    for options in (GREEDY, DRAWN, {**GREEDY, "beams": 2}):
        captioner = Captioner(Files(folder), "cpu", torch.float32, options)
        said = captioner(maps, generators([1, 2, 3]))
        assert len(said) == 3
        assert captioner(maps[[2, 0]], generators([3, 1])) == [said[2], said[0]]
    drawn = Captioner(Files(folder), "cpu", torch.float32, DRAWN)
    assert drawn(maps, generators([4, 5, 6])) != drawn(maps, generators([1, 2, 3]))


def test_the_backend_gives_bytes_that_are_read_back(root: Path) -> None:
    folder = captioners.folder("git", root)
    backend = Captioning(Files(folder), "cpu", torch.float32, GREEDY)
    conditions = {"image": seen(folder)}
    guide = Guide(everything(["image"], 3))
    drawn = backend.draw(conditions, generators([1, 2, 3]), None, 1, guide)
    kind = TextResult(make.task("caption"))
    texts = [kind.value(row, None) for row in kind.array(drawn.values)]
    assert texts == backend.captioner(conditions["image"].maps[0], generators([1, 2, 3]))
    assert drawn.forwards == 3
    assert kind.stored(kind.columns("ein Haus")) == "ein Haus"
    assert kind.value(np.frombuffer("häß".encode()[:-1] + b"\0", np.uint8), None) == "hä"
    assert written("a text").shape == (SIDE, SIDE, 3)


def test_what_cannot_caption_is_named_before_anything_starts(models: dict[str, str], pairs: str, root: Path) -> None:
    def told(path: str, *more: str) -> str:
        settings = make.generate({**models, "path": path}, pairs, "unused", "task=caption", *more)
        return "\n".join(problems(settings))

    folder = captioners.folder("blip", root)
    assert told(str(folder)) == ""
    assert "has no config.json" in told(models["path"])
    assert "has no tokenizer" in told(_without(folder, root / "mute", "tokenizer"))
    assert "has no preprocessor_config.json" in told(_without(folder, root / "blind", "preprocessor"))
    assert "holds no safetensors" in told(_without(folder, root / "empty", "model"))
    other = Path(_without(folder, root / "other", "config"))
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "is a bert; captioners are blip, blip-2, git, vision-encoder-decoder" in told(str(other))
    for change, answer in (
        ("max_tokens=0", "task.options.max_tokens must be at least 1, not 0"),
        ("temperature=-1.0", "task.options.temperature must be 0 or more, not -1"),
        ("top_p=0.0", r"task.options.top_p must lie in (0, 1], not 0"),
    ):
        assert answer in told(str(folder), f"task.options.{change}")
    assert "temperature must be 0" in told(str(folder), "task.options.beams=2", "task.options.temperature=1.0")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        Captioner(Files(root / "empty"), "cpu", torch.float32, GREEDY)


def _without(folder: Path, copy: Path, name: str) -> str:
    """A copy that lacks the files whose names begin so."""
    copy.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if not file.name.startswith(name):
            (copy / file.name).write_bytes(file.read_bytes())
    return str(copy)


def test_words_in_common_in_closed_form() -> None:
    assert words.f1("a red box", "a red box") == 1
    assert words.f1("A red, red box", "red box") == pytest.approx(2 * 2 / 6)
    assert words.f1("a disc", "red box") == 0
    assert (words.f1("", ""), words.f1("", "a")) == (1, 0)
