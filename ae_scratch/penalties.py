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

    def statistic(self, A: Array) -> float:
        """s = sum over rows and units of |A|"""
        return float(np.sum(ops.l1(A), dtype=np.float64))

    def penalty_of(self, mean: Array | float, rows: int) -> float:
        """penalty = strength rows mean, with the mean of s over the rows"""
        return self.strength(rows) * rows * float(mean)

    def strength(self, rows: int) -> float:
        """What one |a| weighs in a batch of so many rows: lam for "sum", lam / rows for "mean"."""
        return self.lam if self.reduction == "sum" else self.lam / rows

    def __repr__(self) -> str:
        return f"L1Activity({self.lam:g}, reduction={self.reduction!r})"


class KLActivity(Layer):
    """The penalty beta * sum over units of KL(rho || m), which pulls the mean activation m of each unit towards rho.

    KL(rho || m) = rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m)), in nats, with m the mean over the rows of a batch:
    sparse autoencoders as in Ng's lecture notes CS294A (2011). It wants activations in (0, 1): put it behind a sigmoid. A mean
    within 2^-23 of 0 or 1 (the spacing of float32 at 1: beyond it there is only 1) counts as one at that distance, so that
    penalty and gradient stay finite and still push back.

    >>> A = np.array([[0.1, 0.5], [0.3, 0.5]])
    >>> layer = KLActivity(1.0, rho=0.2)
    >>> Y, cache = layer.forward(A)
    >>> dA, _ = layer.backward(np.zeros((2, 2)), cache)
    >>> round(layer.penalty(Y), 6), dA.round(6).tolist()
    (0.192745, [[0.0, 0.6], [0.0, 0.6]])
    """

    def __init__(self, beta: float, rho: float = 0.05):
        self.beta, self.rho = number(beta, "beta"), number(rho, "rho", positive=True, below=1)

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = X"""
        Y = ops.copy(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY + beta / N ((1 - rho) / (1 - m) - rho / m)     the same for all N rows, whose mean is m"""
        return ops.kl_backward(dY, self.mean(X), self.strength(len(X)), self.rho, out)

    def statistic(self, A: Array) -> Array | float:
        """s = sum over rows of A, one for each unit"""
        return np.sum(A, axis=0, dtype=np.float64)

    def penalty_of(self, mean: Array | float, rows: int) -> float:
        """penalty = beta * sum over units of KL(rho || m), whatever the number of rows"""
        return self.beta * float(np.sum(ops.kl(np.asarray(mean), self.rho)))

    def mean(self, A: Array) -> Array:
        """m = mean over rows of A, one for each unit; A is the whole batch."""
        return ops.mean_rows(A)

    def strength(self, rows: int) -> float:
        """What the mean's derivative by one activation makes of beta in a batch of so many rows: beta / rows."""
        return self.beta / rows

    def __repr__(self) -> str:
        return f"KLActivity({self.beta:g}, rho={self.rho:g})"
