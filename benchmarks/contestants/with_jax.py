"""JAX: an epoch as one compiled loop over batches, and one compiled step per call; Adam by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, Job


def logits(params: list[Any], x: Any) -> Any:
    """The last layer's output, ReLU between the layers."""
    for W, b in params[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def loss(params: list[Any], x: Any) -> Any:
    """Cross-entropy of the reconstruction of x, from logits."""
    z = logits(params, x)
    return jnp.mean(jnp.maximum(z, 0) - z * x + jnp.log1p(jnp.exp(-jnp.abs(z))))


def rests(t: Any) -> tuple[Any, Any]:
    """1 - beta1^t and 1 - beta2^t; float32 would lose half the digits of the second in the difference."""
    return -jnp.expm1(t * np.log(BETA1)), -jnp.expm1(t * np.log(BETA2))


def step(state: Any, x: Any) -> tuple[Any, Any]:
    """One step of Adam, as the paper has it."""
    params, m, v, t = state
    value, grads = jax.value_and_grad(loss)(params, x)
    rest1, rest2 = rests(t + 1)
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
    rate, correction = LEARNING_RATE / rest1, 1 / rest2
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + EPS), params, m, v)
    return (params, m, v, t + 1), value


@jax.custom_vjp
def cross_entropy(z: Any, x: Any) -> Any:
    """The same loss with its gradient by hand: both need one and the same exponential."""
    return cross_entropy_forward(z, x)[0]


def cross_entropy_forward(z: Any, x: Any) -> tuple[Any, Any]:
    e = jnp.exp(-jnp.abs(z))
    return jnp.mean(jnp.maximum(z, 0) - z * x + jnp.log1p(e)), (jnp.where(z >= 0, 1, e) / (1 + e) - x) / z.size


cross_entropy.defvjp(cross_entropy_forward, lambda d, g: (d * g, None))


def tuned_step(state: Any, x: Any) -> tuple[Any, Any]:
    """The same step with fewer operations: moments are kept without their factors (1 - beta), as sums."""
    params, m, v, t = state
    value, grads = jax.value_and_grad(lambda params, x: cross_entropy(logits(params, x), x))(params, x)
    rest1, rest2 = rests(t + 1)
    m = jax.tree.map(lambda m, g: BETA1 * m + g, m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + g * g, v, grads)
    root = jnp.sqrt(rest2 / (1 - BETA2))
    rate, eps = LEARNING_RATE * root * (1 - BETA1) / rest1, EPS * root
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + eps), params, m, v)
    return (params, m, v, t + 1), value


class Scan:
    """The whole epoch is one call; batches are gathered inside it."""

    step = staticmethod(step)

    def __init__(self, job: Job):
        self.X, self.batch = jnp.asarray(job.X), job.batch
        params = [(jnp.asarray(W), jnp.asarray(b)) for W, b in job.weights]
        m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.state = (params, m, v, jnp.float32(0))
        self.run = jax.jit(self._epoch, donate_argnums=0)
        self._encode = jax.jit(encode)

    def _epoch(self, state: Any, X: Any, order: Any) -> tuple[Any, Any]:
        whole = len(order) // self.batch
        rows, rest = order[:whole * self.batch].reshape(whole, self.batch), order[whole * self.batch:]
        state, losses = jax.lax.scan(lambda state, rows: self.step(state, X[rows]), state, rows)
        total = jnp.sum(losses) * self.batch
        if len(rest):
            state, value = self.step(state, X[rest])
            total += value * len(rest)
        return state, total

    def epoch(self, order: np.ndarray) -> float:
        self.state, total = self.run(self.state, self.X, order.astype(np.int32))
        return float(total) / len(order)

    def encode(self) -> np.ndarray:
        return np.asarray(self._encode(self.state[0], self.X))


class ScanTuned(Scan):
    """The same with a step of fewer operations."""

    step = staticmethod(tuned_step)


class Step(Scan):
    """Python calls one compiled step after the other."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.one = jax.jit(lambda state, X, rows: step(state, X[rows]), donate_argnums=0)

    def epoch(self, order: np.ndarray) -> float:
        losses, order = [], order.astype(np.int32)
        for start in range(0, len(order), self.batch):
            rows = order[start:start + self.batch]
            self.state, value = self.one(self.state, self.X, rows)
            losses.append((len(rows), value))
        return sum(n * float(value) for n, value in losses) / len(order)


def encode(params: list[Any], X: Any) -> Any:
    """The codes of X."""
    for W, b in params[:len(params) // 2]:
        X = jax.nn.relu(X @ W + b)
    return X
