"""Matrix products from three loops to the machine's limit: a ladder of short kernels, each with one idea; the last ones run.

All of them fill C with A B. Each number of C is one chain of sums, a[k] b[k] added for k = 0, 1, 2, ...: however a kernel
orders its loops and whatever it keeps in registers, that chain stays as it is, and so do the bits.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import numpy as np
from numba import njit
from numba.extending import register_jitable

from .inner import PART
from .reference import Array
from .simd import (ROWS, SHORT, SQUARE, VECTORS, add_outer, edge_tile, fma, lanes, load, load_tile, matrix, narrow_tile, prefetch,
                   short_tile, splat, store, store_tile, tile, transpose_square, vector, view, whole)

PANEL = 1 << 15  # bytes of a panel of B: the fastest cache of most machines; the second one helps with what is pushed out
DEPTH = 400  # rows of B that all tiles go over before the next ones: 25 KB of a column of them, with AVX
LARGE = 1 << 19  # bytes of B that are worth panels: half the second cache
BLOCK = 256  # rows of A that go over a panel before the next one is copied: 512 columns of them are half the second cache

F = TypeVar("F", bound=Callable[..., Any])

# optimised by themselves first: it is how tiles of 512 bits stay in registers
part_of_kernels: Callable[[F], F] = register_jitable(**PART)
inlined: Callable[[F], F] = njit(inline="always", error_model="numpy")


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
    VECTORS of them, and loads no longer limit the arithmetic. No more than DEPTH of those vectors come one after the other:
    the fast caches still hold them when the next tile wants them, and the sums wait in C meanwhile."""
    m, n = C.shape
    for k in range(0, max(A.shape[1], 1), DEPTH):  # once at least: a sum of nothing is zero
        depth = min(DEPTH, A.shape[1] - k)
        left, right = view(A, 0, m, k, depth), view(B, k, depth, 0, n)
        for j in range(0, n, VECTORS * lanes(C)):
            column_of_tiles(left, right, j, C, j, k > 0)


def matmul_6_panel(A: Array, B: Array, C: Array) -> None:
    """For matrices that exceed the caches: a panel of B, as wide as a tile and as high as the fastest cache holds, is copied
    there, where its rows lie one after the other, and serves all rows of A. Then comes the panel below, and the sums, kept in
    C meanwhile, go on where they were. A transposed A is copied too, block by block, or its numbers would lie far apart."""
    m, n = C.shape
    width, height = VECTORS * lanes(C), PANEL // (VECTORS * lanes(C) * C.itemsize)
    panels, blocks = np.empty(height * width, C.dtype), np.empty(height * BLOCK, C.dtype)
    for k in range(0, max(A.shape[1], 1), height):
        depth = min(height, A.shape[1] - k)
        panel = matrix(panels, 0, depth, width)
        for i in range(0, m, BLOCK):
            rows = min(BLOCK, m - i)
            left, out = view(A, i, rows, k, depth), view(C, i, rows, 0, n)
            if A.strides[0] < A.strides[1]:
                copy = matrix(blocks, 0, depth, rows)
                copy_columns(left.T, 0, 0, copy)
                left = whole(copy.T)
            for j in range(0, n, width):
                copy_columns(B, k, j, panel)
                column_of_tiles(left, whole(panel), 0, out, j, k > 0)


def matmul_transposed(A: Array, B: Array, C: Array) -> None:
    """C = A B^T for B stored row by row, as the transpose of B A^T: some rows of A become the columns of a panel, tiles run over
    all rows of B, and what they made is transposed back. Transposing costs little: it moves each number of A and of C once, while
    the product reads each as often as B has rows or A has columns."""
    m, n = C.shape
    widest, depth = VECTORS * lanes(C), A.shape[1]
    panels, products = np.empty(depth * widest, C.dtype), np.empty(n * widest, C.dtype)
    for i in range(0, m, widest):
        rows = min(widest, m - i)
        width = lanes(C) if rows <= lanes(C) else widest
        panel, product = matrix(panels, 0, depth, width), matrix(products, 0, n, width)
        if rows < width:
            panel[:] = 0  # columns that no row of A fills
        transpose(view(A, i, rows, 0, depth), whole(panel))
        column_of_tiles(B, whole(panel), 0, whole(product), 0, False)
        transpose(view(product, 0, n, 0, rows), view(C, i, rows, 0, n))


def is_large(rows: int, size: int, row: int) -> bool:
    """Whether copying panels pays for A B, A of so many rows, B of so many bytes, its rows so many bytes apart: the panels serve
    many rows, and B would fill half the second cache, or would have few places in the first, as rows that lie a multiple of 2048
    bytes apart do."""
    return rows >= 64 and (size >= LARGE or row % 2048 == 0)


# ---- parts ---------------------------------------------------------------------------------------------------------------


@part_of_kernels
def column_of_tiles(A: Array, B: Array, j: int, C: Array, column: int, add: bool) -> None:
    """C[:, column:] = A B[:, j:], or plus that, for as many columns as a tile has: whole tiles, then lower ones for what they
    leave over, which have time to look ahead, and with masks at the edges."""
    m, i, left = C.shape[0], 0, C.shape[1] - column
    while i < m:
        if VECTORS > 1:  # a condition of its own: the compiler leaves out what a constant rules out
            if left == lanes(C) and m - i >= ROWS * VECTORS:
                one_tile(narrow_tile(C), A, i, B, j, C, column, add, False)
                i += ROWS * VECTORS
                continue
        if m - i < SHORT or left < VECTORS * lanes(C):
            one_tile(edge_tile(C), A, i, B, j, C, column, add, False)
            i += SHORT
        elif m - i < ROWS or ROWS < m - i <= 2 * SHORT:
            one_tile(short_tile(C), A, i, B, j, C, column, add, True)
            i += SHORT
        else:
            one_tile(tile(C), A, i, B, j, C, column, add, False)
            i += ROWS


@inlined
def one_tile(acc: Array, A: Array, i: int, B: Array, j: int, C: Array, column: int, add: bool, ahead: bool) -> None:
    """The tile C[i:, column:] = A[i:] B[:, j:], or plus that: sums stay in registers from the first k to the last.

    ahead: whether to have the next columns of B brought into the caches meanwhile, perhaps from those of another processor, which
    has changed them.
    """
    if add:
        acc = load_tile(acc, C, i, column)
    for k in range(A.shape[1]):
        if ahead:
            prefetch(B, k, j + VECTORS * lanes(C))
        acc = add_outer(acc, A, i, B, k, j)
    store_tile(acc, C, i, column)


@part_of_kernels
def copy_columns(B: Array, k: int, j: int, panel: Array) -> None:
    """panel = B[k:, j:], as far as B goes."""
    for r in range(panel.shape[0]):
        for c in range(0, panel.shape[1], lanes(B)):
            store(load(B, k + r, j + c), panel, r, c)


@part_of_kernels
def transpose(A: Array, C: Array) -> None:
    """C = A^T, square by square in registers; at the ends squares overlap. Rows whose numbers are not neighbours are copied one
    by one."""
    m, n = A.shape
    if min(m, n) < SQUARE or A.strides[1] > A.itemsize or C.strides[1] > C.itemsize:
        for i in range(m):
            for j in range(n):
                C[j, i] = A[i, j]
    else:
        for i in range(0, m, SQUARE):
            for j in range(0, n, SQUARE):
                transpose_square(A, min(i, m - SQUARE), min(j, n - SQUARE), C)
