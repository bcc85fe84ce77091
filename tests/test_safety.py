"""A classifier over results, from its folder to the table, without Ray: verdicts that are known, and what follows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import checks, ledger, results, run, safety
from pipeline.adopt import adopt_or_make
from pipeline.models import labels
from pipeline.models.classifier import Classifier
from pipeline.settings import Generate, SettingsError
from pipeline.stages import Job
from pipeline.stages.encode import Encode
from pipeline.stages.finish import GREY, Finish
from pipeline.stages.guard import Guard
from pipeline.stages.load import Load
from pipeline.stages.put import Put
from pipeline.stages.safety import Screen
from pipeline.stages.sample import Sample
from tests import classifiers, make, tiny

Models = dict[str, str]
UNSAFE = "safety.unsafe=[gore,nude]"
SAME = ("row_id", "image", "embedding", "scores", "safety_score", "safety_label", "unsafe")


def pictures(count: int) -> list[np.ndarray]:
    return [np.asarray(tiny.picture(i)[0]) for i in range(count)]


def test_the_score_is_what_unsafe_labels_have_together(tmp_path: Path) -> None:
    place = classifiers.folder(tmp_path / "c", (0.5, 0.2, 0.3))
    verdicts = Classifier(place, "cpu", ("gore", "nude"))(pictures(3))
    assert [v.score for v in verdicts] == pytest.approx([0.5] * 3, abs=1e-6)
    assert {v.label for v in verdicts} == {"drawing"}
    classifiers.change(place, problem_type="multi_label_classification")
    [verdict] = Classifier(place, "cpu", ("gore", "nude"))(pictures(1))
    assert verdict.score == pytest.approx(1 / (1 + 1 / 0.3), abs=1e-6)  # sigmoid of log 0.3


def test_a_verdict_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    look = Classifier(classifiers.folder(tmp_path / "c"), "cpu", ("nude",))
    both = look(pictures(4))
    assert [v.score for v in look(pictures(4)[::-1])] == [v.score for v in both[::-1]]
    assert len({v.score for v in both}) == 4
    sized = [np.zeros((16, 48, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)]  # whatever the sizes
    assert len(look(sized)) == 2


def test_a_folder_that_is_no_whole_classifier_is_refused(tmp_path: Path) -> None:
    place = classifiers.folder(tmp_path / "c")

    def told(uri: Path, *unsafe: str) -> dict[str, str]:
        return labels.weights(safety.Safety(str(uri), unsafe, 0.5, "mark"))

    assert set(told(place, "nude")) == {"classifier"}
    with pytest.raises(SettingsError, match=r"safety.unsafe=nsfw is no label of .*; its: drawing, gore, nude"):
        told(place, "nude", "nsfw")
    with pytest.raises(SettingsError, match=r"needs config.json and preprocessor_config.json"):
        told(tmp_path / "nowhere", "nude")
    classifiers.change(place, id2label=None)
    with pytest.raises(SettingsError, match="is no classifier: its config.json has no id2label"):
        told(place, "nude")
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    with pytest.raises(SettingsError, match=r"holds no .safetensors"):
        told(place, "nude")


def test_a_network_without_a_head_is_refused_instead_of_drawn_at_random(tmp_path: Path) -> None:
    from transformers import ViTForImageClassification

    place = classifiers.folder(tmp_path / "c")
    ViTForImageClassification.from_pretrained(place).vit.save_pretrained(tmp_path / "body")
    classifiers.change(tmp_path / "body", id2label={"0": "drawing", "1": "nude"})
    (tmp_path / "body" / "preprocessor_config.json").write_bytes((place / "preprocessor_config.json").read_bytes())
    with pytest.raises(SettingsError, match=r"lacks the weights classifier.bias, classifier.weight"):
        Classifier(tmp_path / "body", "cpu", ("nude",))


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (("safety.classifier=c",), r"safety.classifier needs safety.unsafe=\[…\]"),
        (("safety.unsafe=[nude]",), "safety.classifier, which is not given"),
        (("safety.threshold=0",), r"safety.threshold must lie in \(0, 1\], not 0"),
        (("safety.on_unsafe=hide",), "safety.on_unsafe must be one of mark, blank, fail, not hide"),
        (("safety.classifier=c", UNSAFE, "input.keep=[unsafe]"), "input.keep=unsafe: the output has a column"),
        (("safety.classifier=c", UNSAFE, "task=music_to_dance"), "looks at pictures; .* of the kind motion"),
        (("mark.metadata=true", "task=music_to_dance"), "mark.metadata writes into .* of the kind motion"),
    ],
)
def test_each_setting_that_cannot_be_used_is_named(models: Models, typed: tuple[str, ...], answer: str) -> None:
    with pytest.raises(SettingsError, match=answer):
        checks.check(make.generate(models, "in.parquet", "out", *typed))


def screened(settings: Generate) -> list[dict[str, Any]]:
    """The output rows of all shards, by all stages."""
    checks.check(settings)
    weights = run.fingerprints(settings)
    plan, job = adopt_or_make(settings, weights), Job(settings, weights[0])
    screening = [Screen] if settings.safety.classifier else []
    stages = [Load, Encode, Sample, *screening, Finish, Put]
    made = [stage(job) if stage in (Load, Put) else Guard(stage.__name__.lower(), stage(job), job) for stage in stages]
    for shard in range(plan.shards):
        block = pa.table({"shard": pa.array([shard], pa.int32())})
        for stage in made:
            block = stage(block)
    return [row for o in ledger.data_objects(settings.output) for row in pq.read_table(o.uri).to_pylist()]


def bad(path: Path) -> str:
    """Six inputs of which the second is broken."""
    rows = tiny.rows(6)
    rows[1]["sketch"] = {"bytes": b"no picture", "path": None}
    return str(tiny.write(path, rows))


def pixels(settings: Generate, row: dict[str, Any]) -> np.ndarray:
    found = results.of(settings.task).stored(row)
    assert found is not None
    return found


def test_marked_blanked_and_failed_differ_in_nothing_else(models: Models, tmp_path: Path) -> None:
    pairs, place = bad(tmp_path / "in.parquet"), classifiers.folder(tmp_path / "c")
    chosen = ("num_samples=2", f"safety.classifier={place}", UNSAFE)
    first = screened(make.generate(models, pairs, str(tmp_path / "first"), *chosen))
    scores = sorted(row["safety_score"] for row in first if row["status"] == "ok")
    assert len(set(scores)) == 10
    chosen = (*chosen, f"safety.threshold={scores[5]}")  # half of them, that one included

    plain = screened(make.generate(models, pairs, str(tmp_path / "plain"), "num_samples=2"))
    runs = {}
    for policy in safety.ON_UNSAFE:
        settings = make.generate(models, pairs, str(tmp_path / policy), *chosen, f"safety.on_unsafe={policy}")
        runs[policy] = screened(settings)
    for without, marked, blanked, failed in zip(plain, *runs.values(), strict=True):
        assert not set(without) & {"unsafe", "safety_score", "safety_label"}
        if without["status"] == "failed":
            for row in (marked, blanked, failed):
                assert (row["error"]["stage"], row["unsafe"], row["safety_label"]) == ("decode", None, None)
            continue
        assert marked["unsafe"] == (marked["safety_score"] >= scores[5])
        assert marked["safety_label"] in classifiers.LABELS
        for name in ("seed", "embedding", "scores"):
            assert without[name] == marked[name] == blanked[name]
        assert without["image"] == marked["image"]
        assert marked["selected"] is blanked["selected"] is not marked["unsafe"]
        if marked["unsafe"]:
            assert (pixels(settings, blanked) == GREY).all()
            assert pixels(settings, blanked).shape == pixels(settings, marked).shape
            assert (failed["status"], failed["image"], failed["unsafe"]) == ("failed", None, True)
            assert (failed["error"]["stage"], failed["error"]["kind"]) == ("safety", "UnsafeError")
            assert f"{failed['safety_label']}, score {failed['safety_score']:.3f}" in failed["error"]["message"]
        else:
            assert blanked["image"] == failed["image"] == without["image"]
    assert sum(bool(row["unsafe"]) for row in runs["mark"]) == 5
    assert len({row["row_id"] for rows in (plain, *runs.values()) for row in rows}) == 4 * 12


def test_two_runs_agree_whatever_the_shards(models: Models, pairs: str, tmp_path: Path) -> None:
    chosen = (f"safety.classifier={classifiers.folder(tmp_path / 'c')}", UNSAFE, "limit=6", "safety.on_unsafe=blank")
    one = screened(make.generate(models, pairs, str(tmp_path / "a"), *chosen))
    other = screened(make.generate(models, pairs, str(tmp_path / "b"), *chosen, "shard_rows=6"))
    assert [[row[name] for name in SAME] for row in one] == [[row[name] for name in SAME] for row in other]


def test_what_cannot_be_judged_fails_and_is_not_passed_as_safe(models: Models, pairs: str, tmp_path: Path) -> None:
    place = classifiers.folder(tmp_path / "c", (math.nan, 0.5, 0.5))
    settings = make.generate(models, pairs, str(tmp_path / "a"), "limit=2", f"safety.classifier={place}", UNSAFE)
    for row in screened(settings):
        assert row["error"]["kind"] == "FloatingPointError"
        assert row["image"] is None
    assert torch.isnan(torch.tensor(row["safety_score"]))


def test_the_classifier_is_part_of_the_run(models: Models, pairs: str, tmp_path: Path) -> None:
    one, other = classifiers.folder(tmp_path / "c"), classifiers.folder(tmp_path / "d", (0.5, 0.2, 0.3))
    output = str(tmp_path / "out")

    def planned(place: Path, *more: str) -> ledger.Plan:
        settings = make.generate(models, pairs, output, f"safety.classifier={place}", UNSAFE, *more)
        return adopt_or_make(settings, run.fingerprints(settings))

    assert planned(one).places == {"safety.classifier": str(one)}
    assert planned(one, "safety.unsafe=[nude,gore]")  # in any order
    for again, key in (((other,), "safety.classifier"), ((one, "safety.threshold=0.4"), "safety.threshold")):
        with pytest.raises(SettingsError, match=key):
            planned(*again)
    plain = make.generate(models, pairs, output)
    with pytest.raises(SettingsError, match=r"safety"):
        adopt_or_make(plain, run.fingerprints(plain))
