"""Frechet distance between two sets of features (Heusel et al. 2017, eq. 6), from moments that merge.

    d^2 = |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))

It is biased upwards by about 1/n: compare values of equal n only, and read them beside real data's own.
"""

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, sum [D] and sum of outer products [D, D] of features: exact and mergeable in any order."""

    n: int
    first: Matrix
    second: Matrix

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> "Moments":
        """Of features [N, D]."""
        x = features.astype(np.float64)
        return cls(len(x), x.sum(0), x.T @ x)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.first + other.first, self.second + other.second)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.n - other.n, self.first - other.first, self.second - other.second)

    @property
    def mean(self) -> Matrix:
        """[D]."""
        return self.first / self.n

    @property
    def covariance(self) -> Matrix:
        """[D, D], unbiased."""
        return (self.second - self.n * np.outer(self.mean, self.mean)) / (self.n - 1)


def distance(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two Gaussians with these moments, >= 0. Needs two features of each at least."""
    if min(a.n, b.n) < 2:
        raise ValueError(f"a Frechet distance needs two features on either side, not {a.n} and {b.n}")
    # tr (S_a S_b)^(1/2) = tr (S_a^(1/2) S_b S_a^(1/2))^(1/2), whose matrix is symmetric: no complex roots.
    root = _root(a.covariance)
    cross = np.sqrt(np.clip(scipy.linalg.eigvalsh(root @ b.covariance @ root), 0, None)).sum()
    gap = a.mean - b.mean
    return max(0.0, float(gap @ gap + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross))


def _root(covariance: Matrix) -> Matrix:
    values, vectors = scipy.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
