"""Pictures that a classifier judges: marked, or failed; and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from pipeline import ledger, schema
from pipeline import run as runs
from pipeline.checks import check
from pipeline.models.classifier import Classifier, weights
from pipeline.report import facts
from pipeline.settings import SettingsError
from tests import make
from tests.test_stages import run

Models = dict[str, str]
WHITE = np.full((8, 8, 3), 255, np.uint8)
LABELS = {0: "fine", 1: "nude", 2: "gore"}


def save(folder: Path, bias: tuple[float, float, float], several: bool = False) -> str:
    """A tiny ViT in the published layout whose answer is its bias, whatever it sees."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    config.id2label, config.label2id = LABELS, {name: i for i, name in LABELS.items()}
    config.problem_type = "multi_label_classification" if several else "single_label_classification"
    network = transformers.ViTForImageClassification(config)
    torch.nn.init.zeros_(network.classifier.weight)
    network.classifier.bias.data = torch.tensor(bias)
    network.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)


def settings(models: Models, pairs: str, place: Path, folder: str, *more: str) -> Any:
    given = (f"safety.classifier={folder}", "safety.unsafe=[nude,gore]", "limit=4", *more)
    return make.generate(models, pairs, str(place), *given)


def test_probabilities_are_those_of_its_labels(tmp_path: Path) -> None:
    one = Classifier.load(Path(save(tmp_path / "one", (0.0, 2.0, 1.0))), "cpu")
    assert one.labels == ["fine", "nude", "gore"]
    assert torch.allclose(one([WHITE] * 2), torch.tensor([[0.0, 2, 1]] * 2).softmax(-1))
    each = Classifier.load(Path(save(tmp_path / "each", (0.0, 2.0, 1.0), several=True)), "cpu")
    assert torch.allclose(each([WHITE]), torch.tensor([[0.0, 2, 1]]).sigmoid())


def test_what_is_unsafe_is_marked(models: Models, pairs: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "judge", (0.0, 2.0, 1.0))
    plain = run(make.generate(models, pairs, str(tmp_path / "plain"), "limit=4"))
    made = run(settings(models, pairs, tmp_path / "out", folder))
    rows = made.to_pylist()
    assert {(row["status"], row["unsafe"], row["unsafe_label"]) for row in rows} == {("ok", True, "nude")}
    both = float(torch.tensor([0.0, 2, 1]).softmax(-1)[1:].sum())
    assert rows[0]["unsafe_score"] == pytest.approx(both)
    assert made["image"].to_pylist() == plain["image"].to_pylist()  # nothing else has changed
    assert rows[0]["provenance"]["safety"] == weights(settings(models, pairs, tmp_path, folder).safety)["safety"]
    high = run(settings(models, pairs, tmp_path / "high", folder, "safety.threshold=0.99"))
    assert not any(high["unsafe"].to_pylist())


def test_a_label_of_several_is_judged_by_itself(models: Models, pairs: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "judge", (3.0, -1.0, -0.5), several=True)
    made = run(settings(models, pairs, tmp_path / "out", folder, "safety.threshold=0.4"))
    expected = float(torch.tensor(-0.5).sigmoid())  # below 0.4, though both together are above
    assert made["unsafe_score"].to_pylist() == pytest.approx([expected] * 4)
    assert not any(made["unsafe"].to_pylist())


def test_what_is_unsafe_fails_where_that_is_asked(models: Models, pairs: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "judge", (0.0, 2.0, 1.0))
    rows = run(settings(models, pairs, tmp_path / "out", folder, "safety.on_unsafe=fail")).to_pylist()
    assert {(row["status"], row["unsafe"], row["image"] and "a picture") for row in rows} == {("failed", True, None)}
    assert {row["error"]["kind"] for row in rows} == {"Unsafe"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("safety.classifier=null",), "no safety.classifier is given"),
        (("safety.unsafe=[]",), "the labels of it that are unsafe"),
        (("safety.threshold=1",), "between 0 and 1"),
        (("safety.on_unsafe=hide",), "one of mark, fail"),
        (("input.keep=[unsafe]",), "has a column of that name already"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    models: Models, pairs: str, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    check(settings(models, pairs, tmp_path, "somewhere"))
    with pytest.raises(SettingsError, match=message):
        check(settings(models, pairs, tmp_path, "somewhere", *more))


@pytest.mark.parametrize(("key", "value"), [("metadata", "true"), ("safety.classifier", "x")])
def test_dances_are_no_pictures(models: Models, tmp_path: Path, key: str, value: str) -> None:
    given = ("task=music_to_dance", "safety.unsafe=[a]" if key.startswith("safety") else "seed=1", f"{key}={value}")
    with pytest.raises(SettingsError, match=f"{key} is for pictures"):
        check(make.generate(models, "x.parquet", str(tmp_path), *given))


def test_unknown_labels_and_folders_are_refused(models: Models, pairs: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "judge", (0.0, 2.0, 1.0))
    with pytest.raises(SettingsError, match="no label 'nsfw'; it has fine, nude, gore"):
        weights(settings(models, pairs, tmp_path, folder, "safety.unsafe=[nsfw]").safety)
    with pytest.raises(SettingsError, match="give a transformers folder"):
        weights(settings(models, pairs, tmp_path, str(tmp_path / "nothing")).safety)
    (tmp_path / "judge" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        Classifier.load(tmp_path / "judge", "cpu")


def test_the_page_counts_and_veils_them(models: Models, pairs: str, tmp_path: Path, ray_session: None) -> None:
    folder = save(tmp_path / "judge", (0.0, 2.0, 1.0))
    chosen = settings(models, pairs, tmp_path / "out", folder)
    page = Path(runs.generate(chosen)).read_text("utf-8")
    assert page.count("veiled") >= 4
    assert "unsafe</div>" in page
    plan = ledger.load(chosen.output)
    assert plan is not None
    assert facts.gather(chosen.output, plan).unsafe == 4
    with pytest.raises(SettingsError, match="safety"):
        runs.generate(settings(models, pairs, tmp_path / "out", folder, "safety.threshold=0.7"))
    other = save(tmp_path / "other", (0.0, 2.0, 1.5))
    with pytest.raises(SettingsError, match="safety"):
        runs.generate(settings(models, pairs, tmp_path / "out", other))


def test_the_columns_are_declared() -> None:
    assert [field.type for field in schema.SAFETY] == [pa.bool_(), pa.float32(), pa.string()]
