"""Layers: each a forward and a backward side by side, with the formula and the shapes of both.

A layer owns its parameters and nothing else. ``forward`` returns what ``backward`` will need as an explicit value, the cache:
the layer's input and output. The two halves of ``backward`` can be had alone, since training wants them at different moments:
``input_gradient`` passes the gradient on to the layer before, ``parameter_gradients`` is what the layer itself learns from.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from .inputs import number
from .kernels import reference as ops
from .kernels.reference import Array

Cache = tuple[Array, Array]  # (X, Y) of one forward


class Uniform(Protocol):
    """A source of random weights: ``numpy.random.Generator`` is one."""

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Array: ...


class Layer:
    """What all layers share: no parameters, as many outputs as inputs, no penalty, unless a layer says otherwise."""

    parameters: tuple[str, ...] = ()  # the names of its parameters, attributes of the layer
    kinked = False  # whether its derivative jumps where an input is 0: a gradient check must keep away from there
    in_network = False  # whether its parameters are views of a network's vector

    def n_out(self, n_in: int) -> int:
        """Return the number of outputs for n_in inputs; ValueError if it takes another number of inputs."""
        return n_in

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Return Y (N, n_out) for X (N, n_in), and the cache that ``backward`` needs."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, dY: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
        """Return dX, shaped like X, and the gradients of the parameters under their names.

        dY: the gradient of the objective with respect to this layer's output, (N, n_out).
        """
        X, Y = cache
        return self.input_gradient(dY, X, Y), dict(zip(self.parameters, self.parameter_gradients(dY, X)))

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """Return dX (N, n_in)."""
        raise TypeError(f"{type(self).__name__} defines no input_gradient")

    def parameter_gradients(self, dY: Array, X: Array, dW: Array | None = None, db: Array | None = None) -> tuple[Array, ...]:
        """Return the gradient of each of its parameters, written into dW and db if given."""
        return ()

    def penalty(self, A: Array) -> float:
        """Return what this layer adds to the objective of a batch in which it puts out A (N, n_out)."""
        return self.penalty_of(self.statistic(A) / len(A), len(A))

    def statistic(self, A: Array) -> Array | float:
        """Return the sum over the rows of A of what the penalty depends on; it may be added up over parts of the data."""
        return 0.0

    def penalty_of(self, mean: Array | float, rows: int) -> float:
        """Return the penalty of a batch of so many rows, in which the mean of the statistic over the rows is this."""
        return 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Dense(Layer):
    """A fully connected layer: Y = X W + b, with the penalty weight_decay / 2 * sum of W^2.

    Weights are drawn uniformly from +-sqrt(6 / (n_in + n_out)) (Glorot & Bengio 2010, eq. 16), biases are zero. ``rng`` is
    anything with NumPy's ``uniform(low, high, size)``. The dtype of the parameters, float32 or float64, is the dtype of the
    arithmetic. The weight decay is the classic one: its gradient, weight_decay W, is part of dW and goes through the optimizer,
    Adam's scaling included (unlike AdamW, which decays apart); biases do not decay.

    >>> layer = Dense(3, 2, rng=np.random.default_rng(0))
    >>> Y, cache = layer.forward(np.ones((5, 3), np.float32))
    >>> dX, grads = layer.backward(np.ones((5, 2), np.float32), cache)
    >>> Y.shape, dX.shape, grads["W"].shape, grads["b"].tolist()
    ((5, 2), (5, 3), (3, 2), [5.0, 5.0])
    """

    parameters = ("W", "b")

    def __init__(self, n_in: int, n_out: int, rng: Uniform, dtype: DTypeLike = np.float32, weight_decay: float = 0.0):
        limit = (6 / (n_in + n_out)) ** 0.5
        self.W: Array = rng.uniform(-limit, limit, (n_in, n_out)).astype(dtype, copy=False)
        self.b: Array = np.zeros(n_out, dtype)
        self.weight_decay = number(weight_decay, "weight_decay")

    def n_out(self, n_in: int) -> int:
        if n_in != self.W.shape[0]:
            raise ValueError(f"{self!r} expects {self.W.shape[0]} inputs, got {n_in}")
        return self.W.shape[1]

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = X W + b           (N, n_out) = (N, n_in)(n_in, n_out) + (n_out,)"""
        Y = ops.affine(X, self.W, self.b, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY W^T           (N, n_in) = (N, n_out)(n_out, n_in)"""
        return ops.matmul(dY, self.W.T, out)

    def parameter_gradients(self, dY: Array, X: Array, dW: Array | None = None, db: Array | None = None) -> tuple[Array, ...]:
        """dW = X^T dY + weight_decay W      (n_in, n_out) = (n_in, N)(N, n_out) + (n_in, n_out)
        db = sum over n of dY[n]          (n_out,)
        """
        return ops.weight_gradient(X, dY, self.W, self.weight_decay, dW), ops.sum_rows(dY, db)

    def penalty_of(self, mean: Array | float, rows: int) -> float:
        """penalty = weight_decay / 2 * sum of W^2, whatever the batch"""
        return self.weight_decay / 2 * float(np.sum(ops.squares(self.W), dtype=np.float64)) if self.weight_decay else 0.0

    def __repr__(self) -> str:
        decay = f", weight_decay={self.weight_decay:g}" if self.weight_decay else ""
        return f"Dense({self.W.shape[0]}, {self.W.shape[1]}{decay})"


class TiedDense(Layer):
    """A fully connected layer that goes back through the weights of another: Y = X W^T + b, with W of ``source``, a ``Dense``.

    Only b is its own. What it learns about W is added to the gradient of the source, which stands in front of it in the same
    network: dW is the sum of both paths.

    >>> source = Dense(3, 2, rng=np.random.default_rng(0))
    >>> layer = TiedDense(source)
    >>> Y, cache = layer.forward(np.ones((5, 2), np.float32))
    >>> dX, grads = layer.backward(np.ones((5, 3), np.float32), cache)
    >>> Y.shape, dX.shape, grads["W"].shape, grads["b"].tolist()
    ((5, 3), (5, 2), (3, 2), [5.0, 5.0, 5.0])
    """

    parameters = ("b",)

    def __init__(self, source: Dense):
        self.source = source
        self.b: Array = np.zeros(len(source.W), source.W.dtype)

    @property
    def W(self) -> Array:
        """The weights of the source, (n_out, n_in)."""
        return self.source.W

    def n_out(self, n_in: int) -> int:
        if n_in != self.W.shape[1]:
            raise ValueError(f"{self!r} expects {self.W.shape[1]} inputs, got {n_in}")
        return self.W.shape[0]

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = X W^T + b         (N, n_out) = (N, n_in)(n_in, n_out) + (n_out,)"""
        Y = ops.affine(X, self.W.T, self.b, out)
        return Y, (X, Y)

    def backward(self, dY: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
        """Return dX, and {"W": what is to be added to the gradient of the source's W, "b": db}."""
        X, Y = cache
        return self.input_gradient(dY, X, Y), dict(zip(("W", "b"), self.parameter_gradients(dY, X)))

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY W             (N, n_in) = (N, n_out)(n_out, n_in)"""
        return ops.matmul(dY, self.W, out)

    def parameter_gradients(self, dY: Array, X: Array, dW: Array | None = None, db: Array | None = None) -> tuple[Array, ...]:
        """dW += dY^T X             (n_out, n_in) = (n_out, N)(N, n_in)
        db = sum over n of dY[n] (n_out,)
        """
        return ops.add_matmul(dY.T, X, dW), ops.sum_rows(dY, db)

    def __repr__(self) -> str:
        return f"TiedDense({self.W.shape[1]}, {self.W.shape[0]})"


class ReLU(Layer):
    """Y = max(X, 0), the rectified linear unit; its derivative at 0 is taken as 0, and NaN stays NaN."""

    kinked = True

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = 0 if X < 0 else X"""
        Y = ops.relu(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY where Y > 0, else 0"""
        return ops.relu_backward(dY, Y, out)


class Sigmoid(Layer):
    """Y = 1 / (1 + exp(-X))."""

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = 1 / (1 + exp(-X))"""
        Y = ops.sigmoid(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY Y (1 - Y)"""
        return ops.sigmoid_backward(dY, Y, out)


class Tanh(Layer):
    """Y = tanh(X)."""

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = tanh(X)"""
        Y = ops.tanh(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY (1 - Y^2)"""
        return ops.tanh_backward(dY, Y, out)


class Identity(Layer):
    """Y = X."""

    def forward(self, X: Array, out: Array | None = None) -> tuple[Array, Cache]:
        """Y = X"""
        Y = ops.copy(X, out)
        return Y, (X, Y)

    def input_gradient(self, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
        """dX = dY"""
        return ops.copy(dY, out)


ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "identity": Identity}
