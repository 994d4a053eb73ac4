"""Adam, and Adam along a gradient that is computed at the same time.

A product of matrices and a step of Adam keep different parts of the processor busy. The product waits for nothing but its
multiply-adds; Adam waits for roots and quotients, and for memory: for parameters that another processor has just read, above
all. One after the other, each leaves idle what the other wants. Here a piece of the step follows every tile of the product, and
the processor, which looks a few hundred instructions ahead, does one while it waits for the other.

It pays where several threads train. A thread alone finds the parameters in its own caches, and gains nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import reference as ops
from .matmul import one_tile, part_of_kernels
from .reference import TINY, Array
from .simd import ROWS, VECTORS, flush, fma, lanes, load, load_whole, matrix, splat, square_root, store, store_whole, tile, view


class Descent(NamedTuple):
    """Where a gradient goes that is used up at once: parameters that make a step of Adam along it. g: room for the gradient."""

    theta: Array
    g: Array
    m: Array
    v: Array
    settings: tuple[float, ...]  # lr, beta1, beta2, eps and the powers of beta1 and beta2
    beside: bool  # whether to take the step beside the product that the gradient is


@part_of_kernels
def adam_step(theta: Any, g: Any, m: Any, v: Any, settings: Any) -> Any:
    """What ``reference.adam`` makes of theta, m and v, with fewer roundings: sums are fused with products."""
    keep1, add1, keep2, add2, step, correction, eps = settings
    m = flush(fma(m, keep1, add1 * g), TINY)
    v = flush(fma(v, keep2, add2 * (g * g)), TINY)
    return fma(step, m / (square_root(v * correction) + eps), theta), m, v


@part_of_kernels
def adam_settings(theta: Array, lr: float, beta1: float, beta2: float, eps: float, beta1_t: float, beta2_t: float) -> Any:
    """The numbers of the formula, each as a vector."""
    number = theta.dtype.type
    return (splat(theta, number(beta1)), splat(theta, number(1 - beta1)), splat(theta, number(beta2)),
            splat(theta, number(1 - beta2)), splat(theta, number(-lr / (1 - beta1_t))), splat(theta, number(1 / (1 - beta2_t))),
            splat(theta, number(eps)))


@part_of_kernels
def adam_piece(theta: Array, g: Array, m: Array, v: Array, start: int, stop: int, back: int, settings: Any) -> None:
    """A step for the parameters from start to before stop; the gradient of each stands so many places before it."""
    n = start
    while n + lanes(theta) <= stop:
        new, m1, v1 = adam_step(load_whole(theta, n), load_whole(g, n - back), load_whole(m, n), load_whole(v, n), settings)
        store_whole(new, theta, n)
        store_whole(m1, m, n)
        store_whole(v1, v, n)
        n += lanes(theta)
    if n < stop:
        rest = stop - n
        T, G, M, V = matrix(theta, n, 1, rest), matrix(g, n - back, 1, rest), matrix(m, n, 1, rest), matrix(v, n, 1, rest)
        new, m1, v1 = adam_step(load(T, 0, 0), load(G, 0, 0), load(M, 0, 0), load(V, 0, 0), settings)
        store(new, T, 0, 0)
        store(m1, M, 0, 0)
        store(v1, V, 0, 0)


def adam(theta: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, eps: float,
         beta1_t: float, beta2_t: float) -> None:
    """``reference.adam``."""
    adam_piece(theta, g, m, v, 0, theta.size, 0, adam_settings(theta, lr, beta1, beta2, eps, beta1_t, beta2_t))


def adam_matmul(A: Array, B: Array, theta: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, eps: float,
                beta1_t: float, beta2_t: float) -> None:
    """``reference.adam_matmul``, band by band, each as high as a tile: while the gradient of one band is computed, the parameters
    of the band before make their step. The gradient takes the places of two bands in g, in turn, and never leaves the fast
    caches."""
    settings = adam_settings(theta, lr, beta1, beta2, eps, beta1_t, beta2_t)
    n, depth, width = B.shape[1], A.shape[1], VECTORS * lanes(theta)
    bands = matrix(g, 0, A.shape[0], n)
    done = back = 0  # parameters that made their step; how far before them their gradient is
    for i in range(0, A.shape[0], ROWS):
        rows, place = min(ROWS, A.shape[0] - i), i // ROWS % 2 * ROWS
        left, band = view(A, i, rows, 0, depth), view(bands, place, rows, 0, n)
        for j in range(0, n, width):
            if rows == ROWS and n - j >= width:
                one_tile(tile(band), left, 0, B, j, band, j, False, False)
            else:
                columns = min(width, n - j)
                ops.matmul(left, view(B, 0, depth, j, columns), view(band, 0, rows, j, columns))
            stop = min(done + ROWS * width, i * n)
            adam_piece(theta, g, m, v, done, stop, back, settings)
            done = stop
        back = (i - place) * n
    adam_piece(theta, g, m, v, done, theta.size, back, settings)
