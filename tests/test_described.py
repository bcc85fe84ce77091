"""Dances in the spaces of their kinetic and geometric features."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from pipeline import audit, ledger
from pipeline.adopt import adopt_or_make
from pipeline.evaluation import aggregate, described
from pipeline.evaluation.described import Described, Vectors
from pipeline.evaluation.sets import Rows
from pipeline.evaluation.slices import Sample
from pipeline.motion import features
from pipeline.run import fingerprints
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments
from tests import make, tiny_dance
from tests.test_stages import run

N, D = 90, 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of six inputs, two samples of each, in two shards."""
    root = tmp_path_factory.mktemp("described")
    source = tiny_dance.write(root / "in.parquet", tiny_dance.rows(6))
    more = ("num_samples=2", "steps=1", "shard_rows=6", "input.keep=[genre]")
    settings = tiny_dance.generate(tiny_dance.models(root), str(source), str(root / "out"), *more)
    weights = fingerprints(settings)
    run(settings, weights=weights)
    audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, weights)), {})
    return settings.output


def test_real_dances_are_described_as_long_as_the_results(finished: str) -> None:
    plan = ledger.load(finished)
    assert plan is not None
    table = [r for shard in range(plan.shards) for r in ledger.shard_rows(finished, plan, shard).to_pylist()]
    found = described.describe(finished, plan, {r["row_id"] for r in table[:-1]})
    assert set(found.made) == {r["row_id"] for r in table[:-1]}
    for i, row in enumerate(tiny_dance.rows(6)):
        real = np.array(row["motion"], np.float32).reshape(-1, 22, 3)[: tiny_dance.frames(i)]
        assert np.allclose(found.real[f"dance-{i}"]["k"], features.kinetic(real))
        assert np.allclose(found.real[f"dance-{i}"]["g"], features.geometric(real))


def test_they_are_figures_of_a_run(finished: str) -> None:
    said = aggregate.evaluate(make.evaluate(finished))
    [body] = json.loads(Path(said.splitlines()[-1]).read_text())["groups"].values()
    names = {f"{figure}_{space}" for space in "kg" for figure in ("fid", "dist")}
    for name in (*names, "dist_k_real", "dist_g_real"):
        assert body[name]["low"] < body[name]["value"] < body[name]["high"], name
        assert body[name]["n"] == 6
    assert body["fid_k"]["features"] == features.KINETIC
    assert {"frechet_audio", "frechet_joint", "r1_by_music", "r1_music_real", "multimodality"} <= set(body)
    grouped = aggregate.evaluate(make.evaluate(finished, "groups=genre"))
    assert "warning: 3 groups of inputs" in grouped
    assert json.loads(Path(grouped.splitlines()[-1]).read_text())["groups"]["all"]["fid_k"]["n"] == 6


def drawn(seed: int) -> dict[str, Vectors]:
    values = np.random.default_rng(seed).normal(size=(N, D)) * [1, 10, 100, 0]
    return {f"i{i}": {"x": value} for i, value in enumerate(values)}


def sample() -> Sample:
    names, empty = np.array([f"i{i}" for i in range(N)]), np.zeros((N, 1), np.float16)
    return Sample(np.arange(N, dtype=np.uint64), names, names, names, empty, empty, {})


def test_real_dances_are_no_distance_from_themselves() -> None:
    found = described.of_sample(Described(drawn(0), drawn(0)), sample())
    assert found["fid_x"].value == pytest.approx(0, abs=1e-6)
    assert found["dist_x"] == found["dist_x_real"]
    assert {e.n for e in found.values()} == {N}


def test_features_are_read_by_the_scale_of_the_real_ones() -> None:
    made, real = drawn(1), drawn(0)
    found = described.of_sample(Described(made, real), sample())
    a, b = (np.array([own[f"i{i}"]["x"] for i in range(N)])[:, :3] for own in (made, real))
    scaled, least = ((x - b.mean(0)) / b.std(0) for x in (a, b))
    assert found["fid_x"].value == pytest.approx(frechet.distance(Moments.of(scaled), Moments.of(least)), rel=1e-4)
    assert found["dist_x"].value == pytest.approx(pdist(scaled).mean(), rel=1e-5)
    assert found["dist_x_real"].value == pytest.approx(pdist(least).mean(), rel=1e-5)


def test_results_without_a_real_one_or_too_short_do_not_count() -> None:
    real = drawn(0)
    del real["i3"]
    found = described.of_sample(Described(drawn(1) | {"i4": {}}, real), sample())
    assert {e.n for e in found.values()} == {N - 2}
    assert not described.of_sample(Described(drawn(1), {}), sample())


def test_results_of_one_input_are_no_pair() -> None:
    rows = Rows(("a", "a", "b", "c"), np.array([[0, 0], [9, 9], [3, 4], [0, 1]], np.float32))
    apart = [5, 1, np.hypot(6, 5), np.hypot(9, 8), np.hypot(3, 3)]  # a-b, a-c, a'-b, a'-c, b-c
    assert described.spread(rows).value == pytest.approx(np.mean(apart))
