"""Losses: how far the output is from the target, as a mean over features and samples, and the gradient of that mean.

``forward(Y, T)`` returns the loss and a cache, ``backward(cache)`` the gradient with respect to Y. For both losses the cache
is D, the reconstruction minus the target: the gradient is a multiple of it.
"""

from __future__ import annotations

import numpy as np

from .kernels import reference as ops
from .kernels.reference import Array
from .layers import Identity, Layer, Sigmoid


class Loss:
    """A mean over features and samples; a subclass says what each row adds to it, and what the gradient is."""

    output_activation: type[Layer] = Identity  # what turns the network's output into the reconstruction
    slope = 1.0  # the derivative of one number's loss, as a multiple of D

    def forward(self, Y: Array, T: Array) -> tuple[float, Array]:
        """Return the loss (mean over features and samples) of the output Y for the target T, both (N, n), and the cache D (N,
        n)."""
        if Y.shape != T.shape:
            raise ValueError(f"expected a target of the output's shape {Y.shape}, got {T.shape}")
        rows, D = self.rows(Y, T)
        return float(np.sum(rows, dtype=np.float64)) / D.size, D

    def backward(self, D: Array) -> Array:
        """Return dY = slope D / (N n), the gradient of the loss with respect to the network's output: (N, n)."""
        return ops.scale(D, self.slope / D.size)

    def rows(self, Y: Array, T: Array) -> tuple[Array, Array]:
        """Return the sum over features of each row's loss (N,), and D (N, n)."""
        raise TypeError(f"{type(self).__name__} defines no rows")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of targets in [0, 1], from logits Z, in nats: the last activation, a sigmoid, is part of it.

    loss = mean of -T log P - (1 - T) log(1 - P) with P = sigmoid(Z). Taken from Z nothing overflows and nothing is clipped,
    and the derivative of log cancels that of the sigmoid: dP/dZ = P (1 - P) against (P - T) / (P (1 - P)) leaves P - T.

    >>> loss = BinaryCrossEntropy()
    >>> value, D = loss.forward(np.zeros((2, 3)), np.ones((2, 3)))
    >>> round(value, 6), float(loss.backward(D)[0, 0]) * 6
    (0.693147, -0.5)
    """

    output_activation = Sigmoid
    slope = 1.0  # of the cross-entropy as a function of Z: see above

    def rows(self, Z: Array, T: Array) -> tuple[Array, Array]:
        """rows = sum over features of -T log P - (1 - T) log(1 - P);  D = P - T"""
        return ops.cross_entropy(Z, T)


class MeanSquaredError(Loss):
    """loss = mean of (Y - T)^2.

    >>> MeanSquaredError().forward(np.ones((2, 3)), np.full((2, 3), 3.0))[0]
    4.0
    """

    slope = 2.0  # of D^2

    def rows(self, Y: Array, T: Array) -> tuple[Array, Array]:
        """rows = sum over features of D^2;  D = Y - T"""
        return ops.squared_error(Y, T)


LOSSES: dict[str, type[Loss]] = {"binary_crossentropy": BinaryCrossEntropy, "mse": MeanSquaredError}
