"""Penalties on activations: layers that pass their input on unchanged and add a term to the objective."""

from __future__ import annotations

import numpy as np

from .inputs import number
from .kernels import reference as ops
from .kernels.reference import Array
from .layers import Cache, Layer

REDUCTIONS = ("sum", "mean")


class L1Activity(Layer):
    """The penalty lam * sum |a| over units and rows, which pushes activations to 0: put it behind the layer whose output
    shall be sparse.

    reduction: ``"sum"`` adds it up over the rows of a batch, so that it weighs batch_size times more against a loss that is a
    mean; this is what Keras 1.0.7 to 2.3.1 computed, and with them the article. ``"mean"`` divides by the rows of the batch.

    >>> A = np.array([[1.0, -2.0], [0.0, 3.0]])
    >>> layer = L1Activity(0.1, reduction="sum")
    >>> Y, cache = layer.forward(A)
    >>> dA, _ = layer.backward(np.zeros((2, 2)), cache)
    >>> round(layer.penalty(Y), 6), dA.tolist()
    (0.6, [[0.1, -0.1], [0.0, 0.1]])
    """

    kinked = True

    def __init__(self, lam: float, reduction: str = "mean"):
        if reduction not in REDUCTIONS:
            raise ValueError(f"expected reduction 'sum' or 'mean', got {reduction!r}")
        self.lam = number(lam, "lam")
        self.reduction = reduction

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = X"""
        Y = ops.copy(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY + strength sign(X)     sign(0) = 0"""
        return ops.l1_backward(dY, X, self.strength(len(X)), out)

    def penalty(self, A: Array, rows: int | None = None) -> float:
        """penalty = strength * sum over rows and units of |A|"""
        return self.strength(rows or len(A)) * float(np.sum(ops.l1(A), dtype=np.float64))

    def strength(self, rows: int) -> float:
        """What one |a| weighs in a batch of so many rows: lam for "sum", lam / rows for "mean"."""
        return self.lam if self.reduction == "sum" else self.lam / rows

    def __repr__(self) -> str:
        return f"L1Activity({self.lam:g}, reduction={self.reduction!r})"
