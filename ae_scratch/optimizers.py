"""Optimizers: how a vector of parameters moves along a gradient. They know arrays only, no layer and no model."""

from __future__ import annotations

import numpy as np

from .inputs import number
from .kernels import reference as ops
from .kernels.reference import Array


class SGD:
    """Stochastic gradient descent with momentum: velocity = momentum velocity + g; theta = theta - lr velocity.

    >>> theta = np.array([1.0, 2.0])
    >>> SGD(learning_rate=0.5).step(theta, np.array([1.0, -1.0]))
    >>> theta.tolist()
    [0.5, 2.5]
    """

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0):
        self.lr = number(learning_rate, "learning_rate", positive=True)
        self.momentum = number(momentum, "momentum", below=1)
        self.velocity: Array | None = None

    def step(self, theta: Array, g: Array) -> None:
        """Move theta, in place, against its gradient g."""
        if self.velocity is None:
            self.velocity = np.zeros_like(theta)
        ops.sgd(theta, g, self.velocity, self.lr, self.momentum)

    def __repr__(self) -> str:
        return f"SGD(learning_rate={self.lr:g}, momentum={self.momentum:g})"


class Adam:
    """Adam: each parameter moves by lr m_hat / (sqrt(v_hat) + eps), m and v being running means of its gradient and squared
    gradient.

    Kingma & Ba 2015, Algorithm 1, with eps added after the bias correction. beta^t is kept as a running product.

    >>> theta = np.array([1.0, 2.0])
    >>> Adam(learning_rate=0.1).step(theta, np.array([3.0, -0.01]))
    >>> theta.round(6).tolist()
    [0.9, 2.1]
    """

    def __init__(self, learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8):
        self.lr, self.eps = number(learning_rate, "learning_rate", positive=True), number(eps, "eps", positive=True)
        self.beta1, self.beta2 = number(beta1, "beta1", below=1), number(beta2, "beta2", below=1)
        self.beta1_t, self.beta2_t = 1.0, 1.0
        self.m: Array | None = None
        self.v: Array | None = None

    def step(self, theta: Array, g: Array) -> None:
        """Move theta, in place, against its gradient g."""
        if self.m is None or self.v is None:
            self.m, self.v = np.zeros_like(theta), np.zeros_like(theta)
        self.beta1_t *= self.beta1
        self.beta2_t *= self.beta2
        ops.adam(theta, g, self.m, self.v, self.lr, self.beta1, self.beta2, self.eps, self.beta1_t, self.beta2_t)

    def __repr__(self) -> str:
        return f"Adam(learning_rate={self.lr:g}, beta1={self.beta1:g}, beta2={self.beta2:g}, eps={self.eps:g})"


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}
