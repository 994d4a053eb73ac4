"""The vocabulary: every operation that layers, losses, penalties and optimizers are written with, defined in NumPy.

Each function is a definition, to be read; it needs no more than arrays. An operation never changes its operands; like NumPy's
own functions it returns a new array, or fills and returns ``out``. Only ``add_matmul`` and the updates at the end work in place.
Rows are examples; ``dQ`` is the gradient of the objective with respect to Q, in Q's shape. All arrays of a call have one
dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

EDGE = 2.0**-23  # how close to 0 and 1 a mean activation may come: the spacing of float32 at 1
TINY = 2.0**-100  # smaller moments become zero: those of a dead unit would turn subnormal, and every step 3 times slower


# ---- products and sums ----------------------------------------------------------------------------------------------


def matmul(A: Array, B: Array, out: Array | None = None) -> Array:
    """C = A B                          (m, n) = (m, k)(k, n)"""
    return np.matmul(A, B, out=out)


def add_matmul(A: Array, B: Array, C: Array | None = None) -> Array:
    """C += A B                         or C = A B if there is none to add to"""
    return np.matmul(A, B) if C is None else np.add(C, np.matmul(A, B), out=C)


def affine(X: Array, W: Array, b: Array, out: Array | None = None) -> Array:
    """Y = X W + b                      (N, n_out) = (N, n_in)(n_in, n_out) + (n_out,)"""
    Y = np.matmul(X, W, out=out)
    return np.add(Y, b, out=Y)


def weight_gradient(X: Array, dY: Array, W: Array, weight_decay: float, out: Array | None = None) -> Array:
    """dW = X^T dY + weight_decay W     (n_in, n_out) = (n_in, N)(N, n_out) + (n_in, n_out)"""
    dW = np.matmul(X.T, dY, out=out)
    return np.add(dW, weight_decay * W, out=dW) if weight_decay else dW


def sum_rows(A: Array, out: Array | None = None) -> Array:
    """s = sum over n of A[n]           (n_out,) from (N, n_out)"""
    return np.sum(A, axis=0, out=out)


def mean_rows(A: Array, out: Array | None = None) -> Array:
    """m = mean over n of A[n]          (n_out,) from (N, n_out)"""
    return np.mean(A, axis=0, out=out)


# ---- activations, each with its derivative as a function of its output ----------------------------------------------


def relu(X: Array, out: Array | None = None) -> Array:
    """Y = 0 if X < 0 else X            NaN stays NaN"""
    return np.maximum(X, 0, out=out)


def relu_backward(dY: Array, Y: Array, out: Array | None = None) -> Array:
    """dX = dY where Y > 0, else 0      relu'(0) = 0"""
    return np.multiply(dY, Y > 0, out=out)


def sigmoid(X: Array, out: Array | None = None) -> Array:
    """Y = 1 / (1 + exp(-X))            as exp(X) / (1 + exp(X)) where X < 0, so that exp never overflows"""
    E = np.exp(-np.abs(X))
    return np.divide(np.where(X < 0, E, 1), 1 + E, out=out)


def sigmoid_backward(dY: Array, Y: Array, out: Array | None = None) -> Array:
    """dX = dY Y (1 - Y)"""
    return np.multiply(dY, Y * (1 - Y), out=out)


def tanh(X: Array, out: Array | None = None) -> Array:
    """Y = tanh(X)"""
    return np.tanh(X, out=out)


def tanh_backward(dY: Array, Y: Array, out: Array | None = None) -> Array:
    """dX = dY (1 - Y^2)                as (1 - Y)(1 + Y), exact where Y is close to 1"""
    return np.multiply(dY, (1 - Y) * (1 + Y), out=out)


def copy(X: Array, out: Array | None = None) -> Array:
    """Y = X                            the identity"""
    return np.positive(X, out=out)


# ---- losses: per row the sum over features, and the residual that the gradient is made of ---------------------------


def cross_entropy(Z: Array, T: Array, slope: float = 1.0, rows: Array | None = None,
                  D: Array | None = None) -> tuple[Array, Array]:
    """rows = sum over features of -T log P - (1 - T) log(1 - P), in nats, and D = slope (P - T), where P = sigmoid(Z).

    From logits: -T log P - (1 - T) log(1 - P) = (Z (1 - T) if Z > 0 else -Z T) + log(1 + exp(-|Z|)), in which nothing cancels.
    """
    E = np.exp(-np.abs(Z))
    rows = np.sum(np.where(Z > 0, Z * (1 - T), -Z * T) + np.log1p(E), axis=1, out=rows)
    P = np.where(Z < 0, E, 1) / (1 + E)
    return rows, np.multiply(slope, P - T, out=D)


def squared_error(Y: Array, T: Array, slope: float = 1.0, rows: Array | None = None,
                  D: Array | None = None) -> tuple[Array, Array]:
    """rows = sum over features of (Y - T)^2, and D = slope (Y - T)."""
    difference = Y - T
    return np.sum(difference * difference, axis=1, out=rows), np.multiply(slope, difference, out=D)


def scale(D: Array, factor: float, out: Array | None = None) -> Array:
    """dY = factor D"""
    return np.multiply(D, factor, out=out)


# ---- penalties ------------------------------------------------------------------------------------------------------


def l1(A: Array, out: Array | None = None) -> Array:
    """rows = sum over units of |A|"""
    return np.sum(np.abs(A), axis=1, out=out)


def l1_backward(dY: Array, A: Array, strength: float, out: Array | None = None) -> Array:
    """dA = dY + strength sign(A)       |a|' (0) = 0"""
    return np.add(dY, strength * np.sign(A), out=out)


def squares(W: Array, out: Array | None = None) -> Array:
    """rows = sum over columns of W^2"""
    return np.sum(W * W, axis=1, out=out)


def kl(m: Array, rho: float, out: Array | None = None) -> Array:
    """terms = rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m)), the divergence of each m from rho, in nats."""
    m = inside(m)
    return np.add(rho * np.log(rho / m), (1 - rho) * np.log((1 - rho) / (1 - m)), out=out)


def kl_backward(dY: Array, m: Array, strength: float, rho: float, out: Array | None = None) -> Array:
    """dA = dY + strength ((1 - rho) / (1 - m) - rho / m)    m (n,), all rows of dY (N, n) alike"""
    m = inside(m)
    return np.add(dY, strength * ((1 - rho) / (1 - m) - rho / m), out=out)


def inside(m: Array) -> Array:
    """m, kept at least 2^-23 away from 0 and 1."""
    return np.clip(m, EDGE, 1 - EDGE)


# ---- updates, in place ----------------------------------------------------------------------------------------------


def sgd(theta: Array, g: Array, velocity: Array, lr: float, momentum: float) -> None:
    """velocity = momentum velocity + g;  theta = theta - lr velocity"""
    velocity *= momentum
    velocity += g
    flush(velocity)
    theta -= lr * velocity


def adam(theta: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, eps: float,
         beta1_t: float, beta2_t: float) -> None:
    """m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  theta -= lr m_hat / (sqrt(v_hat) + eps)

    with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t): Kingma & Ba 2015, Algorithm 1.
    """
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    flush(m)
    flush(v)
    theta -= (lr / (1 - beta1_t)) * m / (np.sqrt(v * (1 / (1 - beta2_t))) + eps)


def adam_matmul(A: Array, B: Array, theta: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float,
                eps: float, beta1_t: float, beta2_t: float) -> None:
    """adam along g = A B               (m, n) = (m, k)(k, n), row by row as theta, m and v, vectors of m n numbers"""
    np.matmul(A, B, out=g.reshape(len(A), -1))
    adam(theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t)


def flush(m: Array) -> None:
    """m = 0 where |m| < 2^-100"""
    m[np.abs(m) < TINY] = 0
