import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import audit, ledger
from pipeline.adopt import adopt_or_make
from pipeline.evaluation import aggregate, anchors, collect, inputs, intervals, slices, stream, variants
from pipeline.evaluation.figures import figures
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.slices import merge
from pipeline.run import fingerprints
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments
from pipeline.settings import SettingsError, resolve
from tests import make
from tests.test_scores import drawing
from tests.test_stages import HASHES, run

Models = dict[str, str]
RNG = np.random.default_rng(0)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    a = RNG.normal(size=(40_000, 3)) * [1, 2, 3] + [0, 1, 2]
    b = RNG.normal(size=(40_000, 3)) * [2, 2, 1] + [1, 1, 0]
    # Axis-aligned: |mean difference|^2 + sum of (std_a - std_b)^2.
    assert frechet.distance(Moments.of(a), Moments.of(b)) == pytest.approx(5 + (1 + 0 + 4), rel=0.03)
    assert frechet.distance(Moments.of(a), Moments.of(a)) == pytest.approx(0, abs=1e-6)


def test_moments_merge_in_any_order() -> None:
    x = RNG.normal(size=(90, 5))
    whole, merged = Moments.of(x), Moments.of(x[60:]) + Moments.of(x[:20]) + Moments.of(x[20:60])
    assert merged.n == whole.n
    assert np.allclose(merged.covariance, np.cov(x.T))
    assert np.allclose(merged.covariance, whole.covariance)


def test_a_frechet_distance_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="two features"):
        frechet.distance(Moments.of(np.ones((1, 2))), Moments.of(np.ones((5, 2))))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    names = [str(i) for i in range(40)]
    covered = 0
    for trial in range(100):
        estimate = intervals.mean(rng.normal(size=40), names, seed=trial)
        covered += estimate.low <= 0 <= estimate.high
    assert 88 <= covered <= 100


def test_rows_of_one_input_count_once() -> None:
    values, sources = np.array([1.0, 1.0, 1.0, 4.0]), ["a", "a", "a", "b"]
    assert intervals.mean(values, sources).value == 2.5
    assert intervals.mean(values, sources).n == 2
    assert intervals.mean(np.array([np.nan, 2.0]), ["a", "b"]).n == 1
    assert intervals.mean(np.array([np.nan]), ["a"]).n == 0


def test_the_nearest_variant_is_judged_where_variants_differ() -> None:
    family = [drawing(fill=c)[0] for c in ("#fcea2b", "#fadcbc", "#8d5524")]
    result = drawing(fill="#8a5020")[0].copy()
    result[:10] = 0  # what lies outside does not count
    assert variants.nearest(result, family) == 2
    got = variants.right(
        [result, result],
        ["c", "d"],
        {"a": "f", "b": "f", "c": "f", "d": "g"},
        dict(zip("abcd", [*family, family[0]], strict=True)),
    )
    assert got[0] == 1
    assert np.isnan(got[1])


def test_anchors_separate_own_sketches_from_others() -> None:
    shifts = {str(s): drawing(shift=s) for s in (-10, 0, 10)}
    known = inputs.Inputs(
        {"sketch": {k: v[1] for k, v in shifts.items()}, "image": {k: v[0] for k, v in shifts.items()}}, {}
    )
    ceiling, null = anchors.anchors(known, tuple(shifts))
    assert ceiling.value > 0.95
    assert null.value < 0.7


def test_sketches_that_are_all_alike_give_no_share() -> None:
    pictures = {str(s): drawing(fill=c) for s, c in enumerate(("#fcea2b", "#fadcbc", "#8d5524"))}
    known = inputs.Inputs(
        {"sketch": {k: v[1] for k, v in pictures.items()}, "image": {k: v[0] for k, v in pictures.items()}}, {}
    )
    found = anchors.share(known, tuple("012"), Estimate(0.6, 0.5, 0.7, 3))
    assert set(found) == {"sketch_f1_ceiling", "sketch_f1_null"}


@pytest.fixture(scope="module")
def finished(models: Models, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("evaluated"))
    settings = make.generate(
        models, pairs, place, "sweep.drop=[none,text]", "input.keep=[group]", "limit=8", "num_samples=2"
    )
    weights = fingerprints(settings)
    run(settings, weights=weights)
    audit.write_success(place, audit.audit(place, adopt_or_make(settings, weights)), {})
    return place


def test_a_run_is_evaluated_by_cell_with_intervals_and_paired_differences(finished: str) -> None:
    said = aggregate.evaluate(make.evaluate(finished, "variants=group"))
    assert said.splitlines()[-1] == f"{finished}/report/evaluation.json"
    body = json.loads(Path(said.splitlines()[-1]).read_text())
    assert list(body["groups"]) == ["drop=none", "drop=text"]
    for own in body["groups"].values():
        assert set(own) >= {"clip_text", "sketch_f1", "delta_e", "frechet", "sketch_f1_share", "variant_right"}
        for name, e in own.items():
            assert e["low"] <= e["value"] <= e["high"], name
            assert e["n"] == 8
    assert body["groups"]["drop=none"]["sketch_f1_null"] == body["groups"]["drop=text"]["sketch_f1_null"]
    paired = body["paired"]["drop=text - drop=none"]
    both = [body["groups"][g]["delta_e"]["value"] for g in ("drop=none", "drop=text")]
    written = pd.read_csv(Path(finished, "report", "evaluation.csv")).set_index(["group", "figure"])
    for name, own in {**body["groups"], **body["paired"]}.items():
        for figure, e in own.items():
            line = written.loc[name, figure]
            assert (line.value, line.low, line.high, line.inputs) == (e["value"], e["low"], e["high"], e["n"])
    assert paired["delta_e"]["value"] == pytest.approx(both[1] - both[0], abs=1e-5)


def read_all(run: str, by: tuple[str, ...]) -> collect.Rows:
    plan = collect.finished(run)
    return collect.Rows.joined([collect.read(run, plan, shards, by) for shards in collect.units(plan)])


def test_collected_rows_are_the_stored_ones(finished: str) -> None:
    rows = read_all(finished, ("group", "cell"))
    stored = pa.concat_tables(pq.read_table(p) for p in sorted(Path(finished, "data").iterdir()))
    assert rows.row_id.tolist() == stored["row_id"].to_pylist()
    assert rows.result.dtype == rows.reference.dtype == np.float16  # as it is stored
    assert np.array_equal(rows.result, np.array(stored["embedding"].to_pylist(), np.float32))
    assert np.array_equal(rows.reference, np.array([e["image"] for e in stored["input_embeddings"].to_pylist()]))
    assert set(rows.groups) == {(g, c) for g in ("even", "odd") for c in ("drop=none", "drop=text")}
    assert np.allclose(np.linalg.norm(rows.result, axis=1), 1, atol=1e-2)
    some = rows.take(np.array([3, 1]))
    assert some.source_id.tolist() == [rows.source_id[3], rows.source_id[1]]


def test_missing_vectors_are_nan() -> None:
    column = pa.chunked_array(
        [pa.array([[1, 2], None], pa.list_(pa.float16(), 2)), pa.array([None, [3, 4]], pa.list_(pa.float16(), 2))]
    )
    nan = np.nan
    whole = collect.vectors(column)
    assert np.array_equal(whole, np.array([[1, 2], [nan, nan], [nan, nan], [3, 4]], np.float16), equal_nan=True)
    assert np.array_equal(collect.vectors(column.slice(1, 3)), whole[1:], equal_nan=True)
    assert collect.vectors(column.slice(0, 0)).shape == (0, 2)


def test_pieces_of_a_run_merge_in_any_order_to_the_same_figures(finished: str) -> None:
    settings, plan = make.evaluate(finished, "by=[cell]"), collect.finished(finished)
    every = collect.units(plan)
    whole = stream.of_units(settings, plan, every)
    pieces = [stream.of_units(settings, plan, [unit]) for unit in every]
    assert len(pieces) > 1
    merged = merge(pieces[::-1])
    scores = list(plan.identity["task"]["scores"])
    metrics = [resolve(name) for name in settings.sets.values()]
    for group, own in whole.items():
        one, other = figures(own, scores, metrics), figures(merged[group], scores, metrics)
        assert set(one) == set(other) > {"frechet", "cmmd", "precision", "clip_text"}
        for name in one:
            assert dataclasses.astuple(one[name]) == pytest.approx(
                dataclasses.astuple(other[name]), rel=1e-6, nan_ok=True
            )


def test_a_sample_keeps_the_inputs_whose_ids_hash_lowest(finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SAMPLE_ROWS", 6)
    settings, plan = make.evaluate(finished), collect.finished(finished)
    kept = stream.of_units(settings, plan, collect.units(plan))
    chosen = {tuple(sorted(set(own.sample.source_id.tolist()))) for own in kept.values()}
    assert len(chosen) == 1  # the same inputs in every slice
    assert len(next(iter(chosen))) == 3  # of two samples each
    assert all(own.scores.count[0] == 8 for own in kept.values())  # means are over all


def test_any_kept_column_groups_rows(finished: str) -> None:
    said = aggregate.evaluate(make.evaluate(finished, "by=[group,cell]"))
    assert "even drop=none" in said
    body = json.loads(Path(said.splitlines()[-1]).read_text())
    assert list(body["paired"]) == [f"{g} drop=text - {g} drop=none" for g in ("even", "odd")]
    assert len({len(line) for line in said.splitlines() if "drop=text - " in line or line.startswith("delta_e")}) == 2
    assert "drop=noneodd" not in said
    for wrong in ("by=[colour]", "groups=colour"):
        with pytest.raises(SettingsError, match=r"no column colour.*input.keep"):
            aggregate.evaluate(make.evaluate(finished, wrong))


def test_groups_of_inputs_are_drawn_together(finished: str) -> None:
    alone = json.loads(Path(aggregate.evaluate(make.evaluate(finished)).splitlines()[-1]).read_text())
    said = aggregate.evaluate(make.evaluate(finished, "groups=group"))
    assert "warning: 2 groups of inputs, fewer than 30" in said
    body = json.loads(Path(said.splitlines()[-1]).read_text())
    for name, own in body["groups"].items():
        for figure in ("clip_text", "precision", "diversity_within"):
            assert own[figure]["value"] == pytest.approx(alone["groups"][name][figure]["value"])
            assert own[figure]["n"] == 8
        assert "diversity" not in own  # of two groups none can be left out


def test_what_is_no_finished_run_is_refused(models: Models, pairs: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no run"):
        aggregate.evaluate(make.evaluate(str(tmp_path)))
    adopt_or_make(make.generate(models, pairs, str(tmp_path)), HASHES)
    with pytest.raises(SettingsError, match="not finished"):
        aggregate.evaluate(make.evaluate(str(tmp_path)))


def test_a_jackknifed_interval_holds_its_value_and_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(100):
        x = rng.normal(size=60)
        estimate = intervals.jackknife(lambda index, x=x: float(x[index].mean()), 60, trial)
        assert estimate.low < estimate.value < estimate.high
        covered += estimate.low <= 0 <= estimate.high
    assert 86 <= covered <= 100


def test_a_family_of_equal_pictures_has_no_right_one() -> None:
    picture = drawing(fill="#fcea2b")[0]
    assert variants.nearest(picture, [picture, picture]) is None
    assert np.isnan(variants.right([picture], ["a"], {"a": "f", "b": "f"}, {"a": picture, "b": picture})[0])


def test_inputs_alone_in_their_group_and_unknown_columns(finished: str) -> None:
    said = aggregate.evaluate(make.evaluate(finished, "by=[source_id]"))
    json.loads(Path(said.splitlines()[-1]).read_text(), parse_constant=pytest.fail)
    with pytest.raises(SettingsError, match="variants=typo: the input has no such column"):
        aggregate.evaluate(make.evaluate(finished, "variants=typo"))


def test_on_ray_it_is_the_same(finished: str, ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = aggregate.evaluate(make.evaluate(finished))
    monkeypatch.setattr(stream, "LOCAL_ROWS", 0)
    assert aggregate.evaluate(make.evaluate(finished)) == here


def test_a_run_that_was_interrupted_and_went_on_has_the_same_figures(
    models: Models, pairs: str, tmp_path: Path
) -> None:
    settings = make.generate(models, pairs, str(tmp_path), "limit=8", "sweep.steps=[1,2]", "shard_rows=4")
    weights = fingerprints(settings)

    def figured() -> str:
        run(settings, weights=weights)  # which makes what is not there
        audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, weights)), {})
        aggregate.evaluate(make.evaluate(settings.output))
        return Path(settings.output, "report", "evaluation.json").read_text()

    whole = figured()
    ledger.reopen(settings.output, [2, 0])
    assert figured() == whole
