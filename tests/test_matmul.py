"""The ladder of products: every step against the definition, on every edge, and all steps with the same bits."""

import ctypes
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from ae_scratch.kernels import linked, matmul, simd
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.inner import OPTIONS

LADDER = {name: njit(**OPTIONS)(getattr(matmul, name)) for name in dir(matmul) if name.startswith("matmul_")}
UP = [name for name in LADDER if name != "matmul_transposed"]
EDGES = sorted({1, 2, 3, 7, 31, simd.ROWS - 1, simd.ROWS, simd.ROWS + 1, 2 * simd.SHORT, simd.ROWS + simd.SHORT + 1,
                16 * simd.VECTORS - 1, 16 * simd.VECTORS, 16 * simd.VECTORS + 1})
LAYOUTS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "strided": lambda A: np.repeat(np.repeat(A, 2, 0), 3, 1)[::2, ::3]}


def product(name, A, B):
    """A B by one step of the ladder, into the middle of an array whose border must stay as it is."""
    frame = np.full((len(A) + 2, B.shape[1]), 77.0, A.dtype)
    LADDER[name](A, np.ascontiguousarray(B.T) if name == "matmul_transposed" else B, frame[1:-1])
    assert (frame[0] == 77).all() and (frame[-1] == 77).all()
    return frame[1:-1]


@njit(**OPTIONS)
def final(A, B, C):
    """What runs: the step of the ladder that is fast for these matrices."""
    ops.matmul(A, B, C)


WIDTH = 16 * simd.VECTORS  # of a tile
N1 = [0, 1, 2, 3, 7, 31, simd.ROWS - 1, simd.ROWS, simd.ROWS + 1, WIDTH - 1, WIDTH, WIDTH + 1]


def within_the_bound(multiply, dtype, dimensions, layouts=tuple(itertools.product(LAYOUTS, LAYOUTS))):
    """How many products were exact on integers or, elsewhere, elementwise within (k + 2) u |A| |B|; None if one was not."""
    rng, count, exact = np.random.default_rng(6), 0, np.float64 if dtype == np.float32 else np.longdouble
    for (m, k, n), (left, right) in itertools.product(itertools.product(dimensions, repeat=3), layouts):
        A, B, C = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype), np.full((m, n), np.nan, dtype)
        multiply(LAYOUTS[left](A), LAYOUTS[right](B), C)
        bound = (k + 2) * np.finfo(dtype).eps / 2 * (np.abs(A).astype(exact) @ np.abs(B).astype(exact))
        if not (np.abs(C - A.astype(exact) @ B.astype(exact)) <= bound).all():
            return None
        A, B = rng.integers(-99, 99, (m, k)), rng.integers(-99, 99, (k, n))
        multiply(LAYOUTS[left](A.astype(dtype)), LAYOUTS[right](B.astype(dtype)), C)
        if not (C == A @ B).all():
            return None
        count += 2
    return count


def test_N1_every_product_is_within_the_bound_and_exact_on_integers():
    assert within_the_bound(final, np.float32, [0, 1, 7, simd.ROWS + 1, WIDTH + 1]) == 2 * 5**3 * 9


@pytest.mark.slow
def test_N1_all_dimensions_and_layouts():
    counts = [within_the_bound(final, dtype, N1) for dtype in (np.float32, np.float64)]
    steps = [within_the_bound(LADDER[name], np.float32, N1[:9], [("C", "C")]) for name in UP]
    print(f"{sum(counts) + sum(steps)} products")
    assert counts == 2 * [2 * len(N1)**3 * 9] and None not in steps


@pytest.mark.parametrize("flaw", ["a corner", "a step less", "half the precision"])
def test_N1_a_planted_flaw_is_out_of_bounds(flaw):
    def multiply(A, B, C):
        if flaw == "half the precision":
            C[:] = A.astype(np.float16).astype(np.float32) @ B
        else:
            C[:] = A @ B if flaw == "a corner" or A.shape[1] < 2 else A[:, :-1] @ B[:-1]
        if flaw == "a corner" and C.size:
            C[-1, -1] *= 1 + 1e-5
    assert within_the_bound(lambda A, B, C: np.matmul(A, B, out=C), np.float32, [1, 17], [("C", "C")]) == 16
    assert within_the_bound(multiply, np.float32, [1, 17], [("C", "C")]) is None


def test_the_ladder_has_its_steps():
    assert [name[:8] for name in sorted(UP)] == [f"matmul_{i}" for i in range(1, 7)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LADDER)
def test_exact_on_integers_for_all_edges(name, dtype):
    rng = np.random.default_rng(0)
    for m in EDGES:
        for k in (1, 2, 7, 17):
            for n in EDGES:
                A, B = rng.integers(-99, 99, (m, k)), rng.integers(-99, 99, (k, n))
                assert (product(name, A.astype(dtype), B.astype(dtype)) == A @ B).all(), (m, k, n)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["matmul_6_panel", "matmul_transposed"])
def test_exact_on_integers_beyond_panels_and_blocks(name, layout):
    """Sums of more terms than a panel is high, more rows than a block has: exact as long as they stay below 2^24."""
    height, rng = matmul.PANEL // (16 * simd.VECTORS * 4), np.random.default_rng(5)
    block = matmul.BLOCK
    for m, k, n in ((block - 1, height + 1, 17), (block + 1, height - 1, 2), (2 * block + 3, 2 * height + 5, 33)):
        A, B = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))
        assert (product(name, LAYOUTS[layout](A.astype(np.float32)), B.astype(np.float32)) == A @ B).all(), (m, k, n)


def test_large_products_are_told_from_small_ones():
    large = [matmul.is_large(rows, 4 * k * n, 4 * n)
             for rows, k, n in ((64, 1024, 128), (63, 1024, 128), (64, 1023, 128), (64, 2, 512), (64, 2, 513))]
    assert large == [True, False, False, True, False]


def something_else():
    """The address of a function that takes no arguments, whatever it is given, and returns a positive number."""
    return ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value


def test_large_products_go_by_panels_where_these_are_loaded():
    linked.load(np.float32, linked.matrix_panels)
    address = linked.addresses[linked.symbol(linked.matrix_panels, np.float32)]
    loaded, rng = int(address[0]), np.random.default_rng(2)
    A, B = rng.integers(-9, 9, (64, 3)).astype(np.float32), rng.integers(-9, 9, (3, 512)).astype(np.float32)
    made = {}
    try:
        for name, address[0] in (("panels", loaded), ("not loaded", 0), ("something else", something_else())):
            made[name] = np.full((64, 512), np.nan, np.float32)
            final(A, B, made[name])
    finally:
        address[0] = loaded
    assert (made["panels"] == A @ B).all() and (made["not loaded"] == A @ B).all() and np.isnan(made["something else"]).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", UP)
def test_any_layout_of_the_left_operand(name, layout):
    rng = np.random.default_rng(1)
    A, B = rng.integers(-9, 9, (13, 5)).astype(np.float32), rng.integers(-9, 9, (5, 40)).astype(np.float32)
    assert (product(name, LAYOUTS[layout](A), B) == A @ B).all()


@pytest.mark.parametrize("shape", [(32, 784, 128), (9, 33, 65), (128, 32, 784), (1, 300, 1)])
@pytest.mark.parametrize("name", LADDER)
def test_rounding_stays_within_the_bound_of_one_chain(name, shape):
    """|C - A B| <= (k + 2) u |A| |B|, elementwise; the reference in float64 adds errors of its own that are 2^-29 of that."""
    m, k, n = shape
    rng = np.random.default_rng(2)
    A, B = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    bound = (k + 2) * 2.0**-24 * (np.abs(A).astype(float) @ np.abs(B).astype(float))
    assert (np.abs(product(name, A, B) - A.astype(float) @ B.astype(float)) <= bound).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(32, 784, 128), (7, 33, 65), (200, 300, 20)])
def test_all_steps_of_the_ladder_give_the_same_bits(shape, dtype):
    m, k, n = shape
    rng = np.random.default_rng(3)
    A, B = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    products = {product(name, A, B).tobytes() for name in LADDER}
    assert len(products) == 1


def test_a_row_does_not_depend_on_the_other_rows():
    rng = np.random.default_rng(4)
    A, B = rng.normal(size=(37, 50)).astype(np.float32), rng.normal(size=(50, 45)).astype(np.float32)
    for name in ("matmul_5_tile", "matmul_transposed"):
        whole = product(name, A, B)
        for start, stop in ((0, 1), (5, 6), (3, 20), (30, 37)):
            assert product(name, A[start:stop], B).tobytes() == whole[start:stop].tobytes()


def test_nan_and_infinity_reach_the_product_and_nothing_else():
    A, B = np.ones((9, 3), np.float32), np.ones((3, 40), np.float32)
    A[4, 1], B[2, 7] = np.nan, np.inf
    for name in LADDER:
        C = product(name, A, B)
        assert np.isnan(C[4]).all() and np.isinf(np.delete(C[:, 7], 4)).all()
        assert np.isfinite(np.delete(np.delete(C, 4, 0), 7, 1)).all()


def test_the_kernels_run_without_the_compiler():
    """The same source in plain Python, over the NumPy model of vectors: exact on integers too."""
    code = """
import numpy as np
from ae_scratch.kernels import matmul
rng = np.random.default_rng(0)
for m, k, n in ((1, 1, 1), (9, 3, 17), (8, 5, 33), (13, 20, 2)):
    A, B = rng.integers(-9, 9, (m, k)).astype(np.float32), rng.integers(-9, 9, (k, n)).astype(np.float32)
    for name in dir(matmul):
        if name.startswith("matmul_"):
            C = np.full((m, n), np.nan, np.float32)
            getattr(matmul, name)(A, B.T.copy() if name == "matmul_transposed" else B, C)
            assert (C == A @ B).all(), name
print("equal")
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "equal\n", done.stderr
