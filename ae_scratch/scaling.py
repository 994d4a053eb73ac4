"""Scaling: what is done to data as a model reads them, and undone in what it puts out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernels.reference import Array
from .streaming import Batches, blocks

SCALINGS = ("bytes", "minmax", "standard")
BYTES = 255.0  # what divides them


class Scaling:
    """(x - offset) / scale, and back.

    scale, offset: vectors of float64, an entry per feature; or one number and None, which divides alone. With vectors the
    arithmetic is float64, whatever the dtype of the data and the model: large offsets lose nothing.

    >>> scaling = Scaling(np.array([2.0, 10.0]), np.array([1.0, 0.0]))
    >>> scaled = scaling.apply(np.array([[3, 5]], np.uint8), np.dtype("float32"))
    >>> scaled
    array([[1. , 0.5]], dtype=float32)
    >>> scaling.undo(scaled)
    array([[3., 5.]], dtype=float32)
    """

    def __init__(self, scale: float | Array, offset: Array | None = None):
        self.scale, self.offset = scale, offset

    def apply(self, rows: Any, dtype: np.dtype[Any]) -> Array:
        """Return rows of data as a model of that dtype computes with them."""
        if self.offset is None:
            return np.asarray(np.asarray(rows, dtype) / dtype.type(self.scale))
        return np.asarray((np.asarray(rows, np.float64) - self.offset) / self.scale, dtype)

    def undo(self, Y: Array) -> Array:
        """Return Y, which is overwritten, in the units of the data."""
        if self.offset is None:
            return np.multiply(Y, Y.dtype.type(self.scale), out=Y)
        Y[...] = Y * self.scale + self.offset
        return Y

    def __repr__(self) -> str:
        return "Scaling(per feature)" if self.offset is not None else f"Scaling({self.scale:g})"


def learn(kind: str, X: Array | Batches) -> Scaling:
    """Return the scaling of that kind for the rows of X (n, features).

    "bytes": x / 255. "minmax": (x - min) / (max - min), to [0, 1]. "standard": (x - mean) / standard deviation, the root of the
    mean squared deviation. A feature that never changes becomes 0: its scale is 1.
    """
    if kind == "bytes":
        return Scaling(BYTES)
    low, high = extremes(X)
    if kind == "minmax":
        return Scaling(np.where(high > low, high - low, 1.0), low)
    mean, deviation = moments(X)
    return Scaling(np.where(high > low, deviation, 1.0), np.where(high > low, mean, low))


def extremes(X: Array | Batches) -> tuple[Array, Array]:
    """Return the least and the largest value of each feature, float64."""
    parts = [(block.min(axis=0), block.max(axis=0)) for block in blocks(X)]
    low, high = (pick([part[i] for part in parts], axis=0).astype(np.float64) for i, pick in enumerate((np.min, np.max)))
    return low, high


def moments(X: Array | Batches) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each feature, float64, from one pass.

    Blocks are joined as Chan, Golub & LeVeque (1979) do: squared deviations from each block's own mean, and from there to the
    mean of all. Nothing cancels where the mean is large.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for block in blocks(X):
        n, block_mean = len(block), block.mean(axis=0, dtype=np.float64)
        away = block_mean - mean
        squares = squares + ((block - block_mean) ** 2).sum(axis=0) + away**2 * (count * n / (count + n))
        mean = mean + away * (n / (count + n))
        count += n
    return mean, np.sqrt(squares / count)
