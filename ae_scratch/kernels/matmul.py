"""Matrix products from three loops to the machine's limit: a ladder of short kernels, each with one idea; the last ones run.

All of them fill C with A B. Each number of C is one chain of sums, a[k] b[k] added for k = 0, 1, 2, ...: however a kernel
orders its loops and whatever it keeps in registers, that chain stays as it is, and so do the bits. Only the dot form differs:
it adds up vectors first and their numbers last, always in the same order.
"""

from __future__ import annotations

from .reference import Array
from .simd import (DOT_COLUMNS, DOT_ROWS, ROWS, VECTORS, add_dot, add_outer, dot_tile, fma, lanes, load, splat, store, store_tile,
                   store_totals, tile, vector)


def matmul_1_definition(A: Array, B: Array, C: Array) -> None:
    """Three loops, as the definition says: a row of A times a column of B. The walk down a column of B touches a new cache
    line at every step, and each sum waits for the one before."""
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            acc = C.dtype.type(0)
            for k in range(A.shape[1]):
                acc = fma(A[i, k], B[k, j], acc)
            C[i, j] = acc


def matmul_2_loop_order(A: Array, B: Array, C: Array) -> None:
    """The same sums with the loop over columns inside: it runs along rows of B and C, neighbours in memory, and the compiler
    turns it into vectors. But C is read and written again for every k."""
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            C[i, j] = 0
        for k in range(A.shape[1]):
            for j in range(C.shape[1]):
                C[i, j] = fma(A[i, k], B[k, j], C[i, j])


def matmul_3_register(A: Array, B: Array, C: Array) -> None:
    """One vector of C stays in a register until it is complete: C is written once. Each step loads a vector of B and waits
    for the sum before, though, while the machine could do two such sums at a time and has them take four steps each."""
    for i in range(C.shape[0]):
        for j in range(0, C.shape[1], lanes(C)):
            acc = vector(C)
            for k in range(A.shape[1]):
                acc = fma(splat(C, A[i, k]), load(B, k, j), acc)
            store(acc, C, i, j)


def matmul_4_block(A: Array, B: Array, C: Array) -> None:
    """Four rows at once: each vector of B, once loaded, serves four sums that do not wait for one another."""
    last = C.shape[0] - 1
    for i in range(0, C.shape[0], 4):
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        for j in range(0, C.shape[1], lanes(C)):
            acc0, acc1, acc2, acc3 = vector(C), vector(C), vector(C), vector(C)
            for k in range(A.shape[1]):
                b = load(B, k, j)
                acc0 = fma(splat(C, A[i, k]), b, acc0)
                acc1 = fma(splat(C, A[i1, k]), b, acc1)
                acc2 = fma(splat(C, A[i2, k]), b, acc2)
                acc3 = fma(splat(C, A[i3, k]), b, acc3)
            store(acc3, C, i3, j)
            store(acc2, C, i2, j)
            store(acc1, C, i1, j)
            store(acc0, C, i, j)


def matmul_5_tile(A: Array, B: Array, C: Array) -> None:
    """As many rows and vectors at once as the registers hold: a tile. Every vector of B serves ROWS sums, every number of A
    VECTORS of them, and loads no longer limit the arithmetic. This one runs, for A B and (A being a transposed view) for X^T
    D."""
    for j in range(0, C.shape[1], VECTORS * lanes(C)):
        for i in range(0, C.shape[0], ROWS):
            acc = tile(C)
            for k in range(A.shape[1]):
                acc = add_outer(acc, A, i, B, k, j)
            store_tile(acc, C, i, j)


def matmul_transposed(A: Array, B: Array, C: Array) -> None:
    """C = A B^T for B stored row by row: rows of A times rows of B, both neighbours in memory. Vectors run along k, a tile of
    them holds DOT_ROWS x DOT_COLUMNS products, and each is added up at the end."""
    for j in range(0, C.shape[1], DOT_COLUMNS):
        for i in range(0, C.shape[0], DOT_ROWS):
            acc = dot_tile(C)
            for k in range(0, A.shape[1], lanes(C)):
                acc = add_dot(acc, A, i, B, j, k)
            store_totals(acc, C, i, j)
