"""How Numba compiles each operation of ``reference``: one implementation for each definition, found by the definition's name.

Importing this file teaches Numba that vocabulary; whatever is written with it then compiles as it stands. Compiled operations
always write into ``out``. Loops over elements are left to the compiler to turn into vectors. Sums run in a fixed order, along
a row in vectors of a fixed width, so that neither the CPU nor the number of threads can change a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from . import elementwise, linked
from . import reference as ops
from .simd import lanes, load, total, vector

OPTIONS = {"nogil": True, "error_model": "numpy"}  # a division by zero gives infinity, as in NumPy; no fast-math flag anywhere
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # for compiled callers only: a fifth less to compile


def jit(function: Any) -> Any:
    """Compile a function that compiled code calls, on first use."""
    return njit(**INNER)(function)


def inlined(function: Any) -> Any:
    """Compile a function as part of its compiled callers: for short ones, where a unit of its own costs more than it saves."""
    return njit(inline="always", **INNER)(function)


product, product_transposed = map(linked.caller, ("product", "product_transposed"))


def compiles(operation: Any) -> Any:
    """Make the decorated function, which returns code for arguments of given types, the compiled form of an operation."""
    return overload(operation, jit_options=INNER, strict=False)  # not strict: names of arguments may differ


@jit
def row_sum(A: Any, i: int) -> Any:
    """The sum of row i: vectors first, then the numbers of the last one."""
    acc = vector(A)
    for j in range(0, A.shape[1], lanes(A)):
        acc = acc + load(A, i, j)
    return total(acc)


@compiles(ops.matmul)
def _matmul(A, B, out=None):
    if B.layout == "F":  # the transposed view of a matrix stored row by row
        return lambda A, B, out=None: product_transposed(A, B.T, out)
    return lambda A, B, out=None: product(A, B, out)


@compiles(ops.affine)
def _affine(X, W, b, out=None):
    def affine(X, W, b, out=None):
        product(X, W, out)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += b[j]
    return affine


@compiles(ops.sum_rows)
def _sum_rows(A, out=None):
    def sum_rows(A, out=None):
        for j in range(A.shape[1]):
            out[j] = 0
        for i in range(A.shape[0]):
            for j in range(A.shape[1]):
                out[j] += A[i, j]
    return sum_rows


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


@compiles(ops.cross_entropy)
def _cross_entropy(Z, T, rows=None, D=None):
    def cross_entropy(Z, T, rows=None, D=None):
        """Two loops for each row, because one would be a long chain of operations, each of which waits for the one before: the
        processor works on as many chains at a time as fit into its window of a few hundred operations, and so on few long ones.
        """
        room, zero, one = np.empty((4, Z.shape[1]), Z.dtype), Z.dtype.type(0), Z.dtype.type(1)
        for i in range(Z.shape[0]):
            for j in range(Z.shape[1]):
                room[0, j], room[1, j], room[2, j] = elementwise.decay(Z[i, j])
            for j in range(Z.shape[1]):
                z, t = Z[i, j], T[i, j]
                p, tail = elementwise.logistic_of(z, room[0, j], room[1, j], room[2, j])
                room[3, j] = (z * (one - t) if z > zero else -z * t) + tail
                D[i, j] = p - t
            rows[i] = row_sum(room, 3)
    return cross_entropy


@compiles(ops.squared_error)
def _squared_error(Y, T, rows=None, D=None):
    def squared_error(Y, T, rows=None, D=None):
        terms = np.empty((1, Y.shape[1]), Y.dtype)
        for i in range(Y.shape[0]):
            for j in range(Y.shape[1]):
                D[i, j] = Y[i, j] - T[i, j]
                terms[0, j] = D[i, j] * D[i, j]
            rows[i] = row_sum(terms, 0)
    return squared_error


@compiles(ops.scale)
def _scale(D, factor, out=None):
    def scale(D, factor, out=None):
        f = D.dtype.type(factor)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = D[i, j] * f
    return scale


@compiles(ops.l1)
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


@compiles(ops.sgd)
def _sgd(theta, g, velocity, lr, momentum):
    def sgd(theta, g, velocity, lr, momentum):
        step, keep, tiny, zero = theta.dtype.type(lr), theta.dtype.type(momentum), theta.dtype.type(ops.TINY), theta.dtype.type(0)
        for n in range(theta.size):
            v = velocity[n] * keep + g[n]
            velocity[n] = zero if abs(v) < tiny else v
            theta[n] -= step * velocity[n]
    return sgd


@compiles(ops.adam)
def _adam(theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    def adam(theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
        number, tiny, zero = theta.dtype.type, theta.dtype.type(ops.TINY), theta.dtype.type(0)
        keep1, add1, keep2, add2 = number(beta1), number(1 - beta1), number(beta2), number(1 - beta2)
        step, correction, floor = number(lr / (1 - beta1_t)), number(1 / (1 - beta2_t)), number(eps)
        for n in range(theta.size):
            first = m[n] * keep1 + add1 * g[n]
            second = v[n] * keep2 + add2 * (g[n] * g[n])
            first = zero if abs(first) < tiny else first
            second = zero if abs(second) < tiny else second
            m[n] = first
            v[n] = second
            theta[n] -= step * first / (np.sqrt(second * correction) + floor)
    return adam
