"""How Numba compiles each operation of ``reference``: one implementation for each definition, found by the definition's name.

Importing this file teaches Numba that vocabulary; whatever is written with it then compiles as it stands. Compiled operations
always write into ``out``. Loops over elements are left to the compiler to turn into vectors. Sums run in a fixed order, along
a row in vectors of a fixed width, so that neither the CPU nor the number of threads can change a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from . import elementwise, philox, updates
from . import reference as ops
from .inner import COUNTED, INNER
from .linked import adam_product, is_large, product
from .simd import lanes, load, matrix, stay_a_function, total, vector


def jit(function: Any) -> Any:
    """Compile a function that compiled code calls, on first use."""
    return njit(**INNER)(function)


def inlined(function: Any) -> Any:
    """Compile a function as part of its compiled callers: for short ones, where a unit of its own costs more than it saves."""
    return njit(inline="always", **INNER)(function)


def compiles(operation: Any, options: Any = INNER) -> Any:
    """Make the decorated function, which returns code for arguments of given types, the compiled form of an operation."""
    return overload(operation, jit_options=options, strict=False)  # not strict: names of arguments may differ


FRACTION, HALF_EXPONENT = 2**52 - 1, 1022 << 52  # in a float64: the bits of the fraction; those of the exponent in [1/2, 1)
log_near_1 = jit(philox.log_near_1)


@jit
def log(x: Any) -> Any:
    """``philox.log`` of one number that is not subnormal, taken apart by its bits."""
    bits = np.float64(x).view(np.int64)
    m = np.int64(bits & FRACTION | HALF_EXPONENT).view(np.float64)
    low = m < 0.7071067811865476
    e = np.int32((bits >> 52) - (1023 if low else 1022))
    return e * philox.LN_2 + log_near_1(m + m if low else m)


@jit
def row_sum(A: Any, i: int) -> Any:
    """The sum of row i: vectors first, then the numbers of the last one."""
    acc = vector(A)
    for j in range(0, A.shape[1], lanes(A)):
        acc = acc + load(A, i, j)
    return total(acc)


@compiles(ops.matmul)
def _matmul(A, B, out=None):
    return lambda A, B, out=None: product(A, B, out)


@compiles(ops.add_matmul, COUNTED)
def _add_matmul(A, B, C=None):
    def add_matmul(A, B, C=None):
        added = np.empty_like(C)
        product(A, B, added)
        for i in range(C.shape[0]):
            for j in range(C.shape[1]):
                C[i, j] += added[i, j]
    return add_matmul


@compiles(ops.affine)
def _affine(X, W, b, out=None):
    def affine(X, W, b, out=None):
        product(X, W, out)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += b[j]
    return affine


def is_descent(out: Any) -> bool:
    """Whether a gradient is to be used up at once, by the type of where it goes."""
    return isinstance(out, types.NamedTuple) and out.instance_class is updates.Descent


@compiles(ops.weight_gradient)
def _weight_gradient(X, dY, W, weight_decay, out=None):
    def descend(X, dY, W, weight_decay, out=None):
        large = is_large(X.shape[1], dY.size * dY.itemsize, dY.strides[0])
        if not (out.beside and not large and adam_product(X.T, dY, out.theta, out.g, out.m, out.v, *out.settings)):
            product(X.T, dY, matrix(out.g, 0, X.shape[1], dY.shape[1]))
            ops.adam(out.theta, out.g, out.m, out.v, *out.settings)

    if is_descent(out):
        return descend
    if isinstance(weight_decay, types.NoneType):
        return lambda X, dY, W, weight_decay, out=None: product(X.T, dY, out)

    def weight_gradient(X, dY, W, weight_decay, out=None):
        product(X.T, dY, out)
        decay = out.dtype.type(weight_decay)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += decay * W[i, j]
    return weight_gradient


@compiles(ops.sum_rows)
def _sum_rows(A, out=None):
    def step(A, out=None):
        if out.theta.size:
            ops.sum_rows(A, out.g)
            ops.adam(out.theta, out.g, out.m, out.v, *out.settings)

    def sum_rows(A, out=None):
        for j in range(out.size):  # none in a thread that does not own b
            out[j] = 0
        for i in range(A.shape[0]):
            for j in range(out.size):
                out[j] += A[i, j]
    return step if is_descent(out) else sum_rows


@compiles(ops.mean_rows)
def _mean_rows(A, out=None):
    def mean_rows(A, out=None):
        ops.sum_rows(A, out)
        for j in range(out.size):
            out[j] /= out.dtype.type(A.shape[0])
    return mean_rows


@compiles(ops.relu)
def _relu(X, out=None):
    def relu(X, out=None):
        zero = X.dtype.type(0)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = zero if X[i, j] < zero else X[i, j]
    return relu


@compiles(ops.relu_backward)
def _relu_backward(dY, Y, out=None):
    def relu_backward(dY, Y, out=None):
        zero = Y.dtype.type(0)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = dY[i, j] if Y[i, j] > zero else zero
    return relu_backward


@compiles(ops.sigmoid)
def _sigmoid(X, out=None):
    def sigmoid(X, out=None):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = elementwise.sigmoid(X[i, j])
    return sigmoid


@compiles(ops.sigmoid_backward)
def _sigmoid_backward(dY, Y, out=None):
    def sigmoid_backward(dY, Y, out=None):
        one = Y.dtype.type(1)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = dY[i, j] * (Y[i, j] * (one - Y[i, j]))
    return sigmoid_backward


@compiles(ops.tanh)
def _tanh(X, out=None):
    def tanh(X, out=None):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = elementwise.tanh(X[i, j])
    return tanh


@compiles(ops.tanh_backward)
def _tanh_backward(dY, Y, out=None):
    def tanh_backward(dY, Y, out=None):
        one = Y.dtype.type(1)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = dY[i, j] * ((one - Y[i, j]) * (one + Y[i, j]))
    return tanh_backward


@compiles(ops.copy)
def _copy(X, out=None):
    def copy(X, out=None):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = X[i, j]
    return copy


@jit
def decay_row(Z: Any, i: int, room: Any) -> None:
    """e^-|z| and its low part, for each z of row i, into two rows of ``room``."""
    stay_a_function()
    for j in range(Z.shape[1]):
        room[0, j], room[1, j] = elementwise.decay(Z[i, j])


@jit
def cross_entropy_row(Z: Any, T: Any, slope: Any, i: int, room: Any, D: Any) -> None:
    """Row i of the gradient, and the terms of its loss into the third row of ``room``. Of z (1 - t) for z > 0 and z (0 - t) for
    others, the number before the minus is chosen, which is quicker than to choose between the products (see ``elementwise``).
    """
    stay_a_function()
    zero, one = Z.dtype.type(0), Z.dtype.type(1)
    for j in range(Z.shape[1]):
        z, t = Z[i, j], T[i, j]
        p, tail = elementwise.logistic_of(z, room[0, j], room[1, j])
        D[i, j] = slope * (p - t)
        room[2, j] = z * ((zero if z < zero else one) - t) + tail


@compiles(ops.cross_entropy, COUNTED)
def _cross_entropy(Z, T, slope=1.0, rows=None, D=None):
    def cross_entropy(Z, T, slope=1.0, rows=None, D=None):
        """Two loops for each row, because one would be a long chain of operations, each of which waits for the one before: the
        processor works on as many chains at a time as fit into its window of some hundred operations, and so on few long ones.
        Each loop is a function of its own, so that its constants fill the registers before it and are not read again for each
        vector, as they are where several loops share the registers.
        """
        memory = np.empty(3 * Z.shape[1], Z.dtype)
        for i in range(Z.shape[0]):
            room = matrix(memory, 0, 3, Z.shape[1])  # here, since the memory is given back after its last mention
            decay_row(Z, i, room)
            cross_entropy_row(Z, T, Z.dtype.type(slope), i, room, D)
            rows[i] = row_sum(room, 2)
    return cross_entropy


@compiles(ops.squared_error, COUNTED)
def _squared_error(Y, T, slope=1.0, rows=None, D=None):
    def squared_error(Y, T, slope=1.0, rows=None, D=None):
        factor = Y.dtype.type(slope)
        terms = np.empty((1, Y.shape[1]), Y.dtype)
        for i in range(Y.shape[0]):
            for j in range(Y.shape[1]):
                difference = Y[i, j] - T[i, j]
                D[i, j] = factor * difference
                terms[0, j] = difference * difference
            rows[i] = row_sum(terms, 0)
    return squared_error


@compiles(ops.l1, COUNTED)
def _l1(A, out=None):
    def l1(A, out=None):
        sizes = np.empty((1, A.shape[1]), A.dtype)
        for i in range(A.shape[0]):
            for j in range(A.shape[1]):
                sizes[0, j] = abs(A[i, j])
            out[i] = row_sum(sizes, 0)
    return l1


@compiles(ops.l1_backward)
def _l1_backward(dY, A, strength, out=None):
    def l1_backward(dY, A, strength, out=None):
        s, zero = A.dtype.type(strength), A.dtype.type(0)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                a = A[i, j]
                out[i, j] = dY[i, j] + (s if a > zero else -s if a < zero else s * a)
    return l1_backward


@compiles(ops.squares, COUNTED)
def _squares(W, out=None):
    def squares(W, out=None):
        terms = np.empty((1, W.shape[1]), W.dtype)
        for i in range(W.shape[0]):
            for j in range(W.shape[1]):
                terms[0, j] = W[i, j] * W[i, j]
            out[i] = row_sum(terms, 0)
    return squares


@jit
def inside(m):
    """``ops.inside`` of one number, as a float64; NaN stays NaN."""
    x = ops.EDGE if m < ops.EDGE else np.float64(m)
    return 1 - ops.EDGE if x > 1 - ops.EDGE else x


@compiles(ops.kl)
def _kl(m, rho, out=None):
    def kl(m, rho, out=None):
        for j in range(m.size):
            x = inside(m[j])
            term = rho * log(rho / x) + (1 - rho) * log((1 - rho) / (1 - x))
            out[j] = term if x == x else x  # this log, made of bits, is a number even for NaN
    return kl


@compiles(ops.kl_backward)
def _kl_backward(dY, m, strength, rho, out=None):
    def kl_backward(dY, m, strength, rho, out=None):
        number = out.dtype.type
        s, r, rest, one = number(strength), number(rho), number(1 - rho), number(1)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                x = number(inside(m[j]))
                out[i, j] = dY[i, j] + s * (rest / (one - x) - r / x)
    return kl_backward


@compiles(ops.sgd)
def _sgd(theta, g, velocity, lr, momentum):
    def sgd(theta, g, velocity, lr, momentum):
        step, keep, tiny, zero = theta.dtype.type(lr), theta.dtype.type(momentum), theta.dtype.type(ops.TINY), theta.dtype.type(0)
        for n in range(theta.size):
            v = velocity[n] * keep + g[n]
            velocity[n] = zero if abs(v) < tiny else v
            theta[n] -= step * velocity[n]
    return sgd


@compiles(ops.adam, COUNTED)
def _adam(theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    return updates.adam


@compiles(ops.adam_matmul)
def _adam_matmul(A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    def adam_matmul(A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
        if not adam_product(A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
            product(A, B, matrix(g, 0, A.shape[0], B.shape[1]))
            ops.adam(theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t)
    return adam_matmul
