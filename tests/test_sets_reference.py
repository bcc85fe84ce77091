"""Set metrics against other people's programs, on the same features, to 1e-4 (absolute, or of the value if above 1)."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_rbf, kid_features_to_metric, mmd2
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.functional.retrieval import retrieval_hit_rate
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from pipeline.evaluation.sets import Sets, unit
from pipeline.evaluation.sets.diversity import diversity
from pipeline.evaluation.sets.kernel import cmmd, kid
from pipeline.evaluation.sets.manifold import K, prdc
from pipeline.evaluation.sets.neighbours import nearest
from pipeline.evaluation.sets.retrieval import retrieval
from pipeline.scores import frechet
from pipeline.scores.frechet import Moments

N, D = 300, 24
SCALES = [1, 10]  # of the features: near unit length, and far from it


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-4, abs=1e-4)


@pytest.fixture(params=SCALES)
def sets(request: pytest.FixtureRequest) -> Sets:
    rng = np.random.default_rng(request.param)
    reference = rng.normal(size=(N, D)) + np.linspace(0, 2, D)
    result = 0.7 * reference + 0.8 * rng.normal(size=(N, D)) + 0.2
    text = reference + 1.5 * rng.normal(size=(N, D))
    result, reference, text = (request.param * x.astype(np.float32) / 6 for x in (result, reference, text))
    return Sets(tuple(f"i{i:04}" for i in range(N)), result, reference, {"text": text})


def tensors(sets: Sets) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(sets.result).double(), torch.from_numpy(sets.reference).double()


def test_kid_is_that_of_torchmetrics_and_torch_fidelity(sets: Sets) -> None:
    value = kid(sets)["kid_x1000"].value
    assert value == near(1000 * float(poly_mmd(*tensors(sets))))
    whole = kid_features_to_metric(*tensors(sets), kid_subsets=1, kid_subset_size=N, verbose=False)
    assert value == near(1000 * whole["kernel_inception_distance_mean"])


def test_cmmd_is_torch_fidelitys_mmd_with_its_gaussian_kernel(sets: Sets) -> None:
    x, y = unit(sets.result.astype(np.float64)), unit(sets.reference.astype(np.float64))
    k_xx, k_xy, k_yy = (kernel_rbf(a, b, kid_kernel_rbf_sigma=10) for a, b in ((x, x), (x, y), (y, y)))
    value = cmmd(sets)["cmmd"].value
    assert value == near(1000 * mmd2(k_xx, k_xy, k_yy))
    # What the authors' program returns, which counts the pairs i = i: kernel.py says by how much it is higher.
    more = 1000 * (2 - _mean_of_pairs(k_xx) - _mean_of_pairs(k_yy)) / N
    assert value + more == near(1000 * mmd2(k_xx, k_xy, k_yy, mmd_est="biased"))


def _mean_of_pairs(k: NDArray[np.float64]) -> float:
    return float((k.sum() - np.trace(k)) / (N * (N - 1)))


def test_precision_and_recall_are_those_of_torch_fidelity(sets: Sets) -> None:
    ours = prdc(sets)
    theirs = prc_features_to_metric(*tensors(sets), prc_neighborhood=K, prc_batch_size=N, verbose=False)
    assert 0.1 < theirs["precision"] < 0.99
    for name in ("precision", "recall"):
        assert ours[name].value == near(theirs[name])


def test_density_and_coverage_by_the_neighbours_of_scikit_learn(sets: Sets) -> None:
    neighbours = NearestNeighbors(n_neighbors=K + 1).fit(sets.reference)
    radius = neighbours.kneighbors(sets.reference)[0][:, K]
    within = pairwise_distances(sets.reference, sets.result) <= radius[:, None]
    ours = prdc(sets)
    assert ours["density"].value == near(within.sum() / (K * N))
    assert ours["coverage"].value == near(within.any(1).mean())


def test_frechet_distance_is_that_of_torchmetrics_and_torch_fidelity(sets: Sets) -> None:
    value = frechet.distance(Moments.of(sets.result), Moments.of(sets.reference))
    x, y = tensors(sets)
    assert value == near(float(_compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())))
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(t) for t in (x, y)), verbose=False)
    assert value == near(theirs["frechet_inception_distance"])


def test_retrieval_is_that_of_torchmetrics_and_of_scikit_learns_neighbours(sets: Sets) -> None:
    ours = retrieval(sets)
    for role, features in (("text", sets.conditions["text"]), ("reference", sets.reference)):
        similar = torch.from_numpy(cosine_similarity(sets.result, features))
        found = NearestNeighbors(metric="cosine", algorithm="brute").fit(features).kneighbors(sets.result, 10)[1]
        for k in (1, 5, 10):
            hits = [retrieval_hit_rate(similar[i], torch.arange(N) == i, top_k=k).item() for i in range(N)]
            assert ours[f"r{k}_{role}"].value == near(np.mean(hits))
            assert ours[f"r{k}_{role}"].value == near((found[:, :k] == np.arange(N)[:, None]).any(1).mean())
    assert 0.05 < ours["r1_text"].value < ours["r10_text"].value < 1


def test_diversity_is_the_mean_of_scikit_learns_cosine_distances(sets: Sets) -> None:
    assert diversity(sets)["diversity"].value == near(
        pairwise_distances(sets.result, metric="cosine").sum() / (N * (N - 1))
    )


def test_nearest_is_scikit_learns_brute_force(sets: Sets) -> None:
    theirs = NearestNeighbors(metric="cosine", algorithm="brute").fit(sets.reference).kneighbors(sets.result, 7)
    similarity, index = nearest(sets.result, sets.reference, 7)
    assert np.array_equal(index, theirs[1])
    assert np.allclose(similarity, 1 - theirs[0], atol=1e-5)
