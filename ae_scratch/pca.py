"""Principal component analysis: the best that a linear code can do, hence what an autoencoder has to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .inputs import whole
from .kernels.reference import Array
from .streaming import blocks


class PrincipalComponents(NamedTuple):
    """The directions in which data vary most: ``mean`` (features,), orthonormal rows ``components`` (k, features), and the
    share of the whole variance along each, ``shares`` (k,), falling."""

    mean: Array
    components: Array
    shares: Array

    def project(self, X: Any) -> Array:
        """Return the coordinates (X - mean) components^T: (n, k), float64."""
        return (np.asarray(X, np.float64) - self.mean) @ self.components.T

    def reconstruct(self, X: Any, k: int | None = None) -> Array:
        """Return what the first k components, all by default, keep of X: (n, features), float64."""
        return self.project(X)[:, :k] @ self.components[:k] + self.mean


def principal_components(X: Array, k: int, scaled: Callable[[Any], Any] = np.asarray) -> PrincipalComponents:
    """Return the first k principal components of X (n, features), in float64; k of the features at most.

    They are the eigenvectors of the covariance matrix, which is gathered block by block, so X may be larger than memory; its
    features may not be too many for a matrix (features, features). scaled: what is done to each block as it is read.

    Raises TypeError or ValueError for a k that is no whole number from 1 to the number of features.

    >>> X = np.outer(np.arange(10), [3, 4]) + 7
    >>> found = principal_components(X, 1)
    >>> np.abs(found.components).round(6).tolist(), found.shares.round(6).tolist(), found.mean.tolist()
    ([[0.6, 0.8]], [1.0], [20.5, 25.0])
    """
    whole(k, "k", most=X.shape[1])
    mean: Array = np.zeros(X.shape[1])
    for block in blocks(X):
        mean += np.sum(scaled(block), axis=0, dtype=np.float64) / len(X)
    covariance = np.zeros((len(mean), len(mean)))
    for block in blocks(X):
        centred = np.asarray(scaled(block), np.float64) - mean
        covariance += centred.T @ centred / len(X)
    values, vectors = np.linalg.eigh(covariance)  # rising
    values = np.maximum(values[::-1], 0)  # rounding can bring one below
    return PrincipalComponents(mean, vectors.T[::-1][:k].copy(), values[:k] / (values.sum() or 1.0))
