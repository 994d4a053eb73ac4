"""Each compiled operation against its definition, through plain calls that Numba compiles."""

import functools
import inspect

import numpy as np
import pytest
from numba import njit

from ae_scratch.kernels import compiled  # noqa: F401  teaches Numba the vocabulary
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.compiled import OPTIONS

RNG = np.random.default_rng(0)


def call(op, *arguments):
    """Run an operation compiled."""
    compiled_call(op, len(arguments))(*arguments)


@functools.cache
def compiled_call(op, count):
    names = ", ".join(f"a{i}" for i in range(count))
    namespace = {"op": op}
    exec(f"def run({names}):\n    op({names})", namespace)
    return njit(**OPTIONS)(namespace["run"])


def normal(shape, dtype):
    return RNG.normal(scale=3, size=shape).astype(dtype)


def operands(dtype, m=7, n=37, k=20):
    X, Y = normal((m, n), dtype), RNG.uniform(size=(m, n)).astype(dtype)
    return {
        "relu": (X,), "relu_backward": (normal((m, n), dtype), X), "sigmoid": (X,), "sigmoid_backward": (X, Y), "tanh": (X,),
        "tanh_backward": (X, Y), "copy": (X,), "scale": (X, 0.3), "l1_backward": (Y, X, 0.3), "sum_rows": (X,), "l1": (X,),
        "matmul": (X, normal((n, k), dtype)), "affine": (X, normal((n, k), dtype), normal(k, dtype)),
        "cross_entropy": (X, Y), "squared_error": (X, Y), "mean_rows": (X,), "squares": (X,), "kl": (Y[0], 0.3),
        "kl_backward": (X, Y[0], 0.3, 0.1), "weight_gradient": (X, normal((m, k), dtype), normal((n, k), dtype), 0.3)}


SAME_BITS = {"relu", "relu_backward", "sigmoid_backward", "tanh_backward", "copy", "scale", "l1_backward"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", operands(np.float32))
def test_compiled_is_the_definition(name, dtype):
    arguments = operands(dtype)[name]
    expected = by_definition(name, arguments)
    got = [np.full_like(array, np.nan) for array in expected]
    call(getattr(ops, name), *arguments, *got)
    compare(name, got, expected)


def by_definition(name, arguments):
    """What an operation writes, as a tuple."""
    expected = getattr(ops, name)(*arguments)
    return expected if isinstance(expected, tuple) else (expected,)


def compare(name, got, expected):
    for a, b in zip(got, expected):
        if name in SAME_BITS:
            assert np.array_equal(a, b)  # but for the sign of a zero, the same bits
        else:  # other orders of sums of at most 40 terms, other polynomials
            assert np.abs(a - b).max() <= 50 * np.finfo(b.dtype).eps * max(1, np.abs(b).max())


def test_a_product_is_added():
    A, B, C = normal((9, 40), np.float32), normal((40, 33), np.float32), normal((9, 33), np.float32)
    expected = C + A.astype(float) @ B
    call(ops.add_matmul, A, B, C)
    assert np.allclose(C, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kl_at_the_ends_is_that_at_their_distance_and_nan_stays_nan(dtype):
    m, near = np.array([0, 1, np.nan], dtype), np.array([2.0**-23, 1 - 2.0**-23, 0.5], dtype)
    for op, before, behind in ((ops.kl, (), (0.05,)), (ops.kl_backward, (np.zeros((2, 3), dtype),), (0.5, 0.05))):
        expected = op(*before, near, *behind)
        out = np.empty_like(expected)
        call(op, *before, m, *behind, out)
        assert np.isnan(out[..., 2]).all() and np.isnan(op(*before, m, *behind)[..., 2]).all()
        for got in (out, op(*before, m, *behind)):
            assert np.isfinite(expected).all() and np.allclose(got[..., :2], expected[..., :2], rtol=1e-6)


def test_the_transpose_of_a_matrix_stored_by_rows():
    A, W = normal((9, 40), np.float32), normal((33, 40), np.float32)
    C = np.empty((9, 33), np.float32)

    @njit(**OPTIONS)
    def run(A, W, C):
        ops.matmul(A, W.T, C)
    run(A, W, C)
    assert np.allclose(C, A @ W.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_and_sgd_have_numpys_bits(dtype):
    theta, g, m, v = (normal(1001, dtype) for _ in range(4))
    v, m[::7], g[::7] = np.abs(v), 2.0**-101, 0
    states = [[array.copy() for array in (theta, g, m, v)] for _ in range(2)]
    for step in range(1, 4):
        settings = (1e-3, 0.9, 0.999, 1e-8, 0.9**step, 0.999**step)
        ops.adam(*states[0], *settings)
        call(ops.adam, *states[1], *settings)
        ops.sgd(states[0][0], g, states[0][2], 0.1, 0.9)
        call(ops.sgd, states[1][0], g, states[1][2], 0.1, 0.9)
    assert [a.tobytes() for a in states[0]] == [a.tobytes() for a in states[1]] and not states[1][2][::7].any()


def test_nan_stays_nan_and_kinks_are_flat():
    X = np.array([[np.nan, -0.0, 0.0, -1.0]], np.float32)
    for name in ("relu", "sigmoid", "tanh"):
        out = np.zeros_like(X)
        call(getattr(ops, name), X, out)
        assert np.isnan(out[0, 0]) and np.isfinite(out[0, 1:]).all()
    out = np.ones_like(X)
    call(ops.relu_backward, np.ones_like(X), np.zeros_like(X), out)
    assert not out.any()
    call(ops.l1_backward, np.zeros_like(X), np.zeros_like(X), 0.5, out)
    assert not out.any()


def test_cross_entropy_of_large_logits():
    Z = np.array([[1e30, -1e30, 88.0, -88.0, 1000.0]], np.float32)
    T, rows, D = np.array([[1, 0, 1, 0, 0]], np.float32), np.empty(1, np.float32), np.empty_like(Z)
    call(ops.cross_entropy, Z, T, rows, D)
    assert rows[0] == pytest.approx(1000, rel=1e-6) and D[0].tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-30)


def test_every_operation_of_the_vocabulary_is_compiled():
    public = {name for name, value in vars(ops).items() if inspect.isfunction(value)} - {"flush", "inside"}  # parts of others
    assert public == set(operands(np.float32)) | {"add_matmul", "adam", "sgd"}
