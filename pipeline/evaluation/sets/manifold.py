"""Precision, recall, density and coverage: how much of each set lies within the other's manifold.

A set's manifold is the union of balls around its members, each as wide as the distance to its k-th nearest
neighbour in the set. Two equal sets have precision, recall and coverage 1 and density (k + 1) / k; two samples of
one distribution have less (density about 1, coverage about 1 - 2^-k), so read them beside real data's own.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.sets import Sets, blocks

K = 5
SHARES = ("precision", "recall", "coverage")  # in [0, 1]; a density may be above 1
TIE = 1e-12  # of the largest squared norm: distances closer than this are equal, as those between copies are

Matrix = NDArray[np.float64]


def prdc(sets: Sets) -> Mapping[str, Estimate]:
    """Shares of one result and one reference per input, so that the two sets are of equal size, as published.

    `precision`: results within the references' manifold; `recall`: references within the results' (Kynkaanniemi et
    al. 2019, eq. 2). `density`: how many references' balls hold a result, over k; `coverage`: references whose ball
    holds a result (Naeem et al. 2020). A ball holds its surface. Compare equal n only. Intervals are bootstraps over
    inputs that take both manifolds as given: they do not show that other inputs would have made other manifolds.
    """
    results, references = sets.against(sets.reference)
    names, n = references.source_id, len(references.source_id)
    if n < K + 2:
        return {}
    values = indicators(results.one_each().features.astype(np.float64), references.features.astype(np.float64), K)
    return {
        name: (intervals.share if name in SHARES else intervals.mean)(value, names, sets.together)
        for name, value in values.items()
    }


def indicators(results: Matrix, references: Matrix, k: int) -> dict[str, Matrix]:
    """What each figure is the mean of: precision and density [N] of results [N, D], recall and coverage [M] of
    references [M, D]. Holds BLOCK x max(N, M) distances at a time."""
    squares = _squares(references)
    tie = TIE * max(squares.max(), _squares(results).max())
    of_results, of_references = radii(results, k) + tie, radii(references, k) + tie
    balls = np.zeros(len(results))  # of references, that hold each result
    recall, coverage = np.zeros(len(references), bool), np.zeros(len(references), bool)
    for rows in blocks(len(results)):
        squared = _distances(results[rows], references, squares)
        held = squared <= of_references
        balls[rows] = held.sum(1)
        coverage |= held.any(0)
        recall |= (squared <= of_results[rows, None]).any(0)
    found = {"precision": balls > 0, "recall": recall, "density": balls / k, "coverage": coverage}
    return {name: value.astype(np.float64) for name, value in found.items()}


def radii(features: Matrix, k: int) -> Matrix:
    """Squared distance [N] from each of features [N, D] to its k-th nearest neighbour among the others, N > k."""
    squares, found = _squares(features), np.zeros(len(features))
    for rows in blocks(len(features)):
        squared = _distances(features[rows], features, squares)
        found[rows] = np.partition(squared, k, axis=1)[:, k]  # number 0 is itself
    return found


def _distances(a: Matrix, b: Matrix, squares: Matrix) -> Matrix:
    """Squared Euclidean distances [N, M]; `squares` [M] are the squared norms of b."""
    found = a @ b.T
    found *= -2
    found += squares
    found += _squares(a)[:, None]
    return np.asarray(found)


def _squares(x: Matrix) -> Matrix:
    return np.einsum("nd,nd->n", x, x)
