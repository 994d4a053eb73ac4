"""Each compiled operation against its definition, through plain calls that Numba compiles."""

import functools
import inspect
import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError
from test_matmul import something_else

from ae_scratch.kernels import compiled  # noqa: F401  teaches Numba the vocabulary
from ae_scratch.kernels import linked
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels import simd
from ae_scratch.kernels.inner import COUNTED, INNER, OPTIONS

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
        "tanh_backward": (X, Y), "copy": (X,), "l1_backward": (Y, X, 0.3), "sum_rows": (X,), "l1": (X,),
        "matmul": (X, normal((n, k), dtype)), "affine": (X, normal((n, k), dtype), normal(k, dtype)),
        "cross_entropy": (X, Y, 0.3), "squared_error": (X, Y, 0.3), "mean_rows": (X,), "squares": (X,), "kl": (Y[0], 0.3),
        "kl_backward": (X, Y[0], 0.3, 0.1), "weight_gradient": (X, normal((m, k), dtype), normal((n, k), dtype), 0.3)}


SAME_BITS = {"relu", "relu_backward", "sigmoid_backward", "tanh_backward", "copy", "l1_backward"}


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


def parameters(dtype):
    """theta, g, m and v; of every seventh parameter m is about to be flushed."""
    theta, g, m, v = (normal(1001, dtype) for _ in range(4))
    v, m[::7], g[::7] = np.abs(v), 2.0**-101, 0
    return theta, g, m, v


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sgd_has_numpys_bits(dtype):
    theta, g, velocity, _ = parameters(dtype)
    states = [[array.copy() for array in (theta, g, velocity)] for _ in range(2)]
    for _ in range(3):
        ops.sgd(*states[0], 0.1, 0.9)
        call(ops.sgd, *states[1], 0.1, 0.9)
    assert [a.tobytes() for a in states[0]] == [a.tobytes() for a in states[1]] and not states[1][2][::7].any()


def is_adam(step, dtype):
    """Whether some steps are those of Adam but for rounding: of m and v, a sum of products with a constant each, at most four
    roundings of either term; of what theta changes by, given m and v, seven, and one of theta."""
    theta, g, m, v = parameters(dtype)
    exact, u = np.float64 if dtype == np.float32 else np.longdouble, np.finfo(dtype).eps / 2
    for t in range(1, 4):
        old_theta, old_m, old_v = (array.astype(exact) for array in (theta, m, v))
        settings = lr, beta1, beta2, eps, beta1_t, beta2_t = 1e-3, 0.9, 0.999, 1e-8, 0.9**t, 0.999**t
        step(theta, g, m, v, *settings)
        terms = (beta1 * old_m, (1 - beta1) * g.astype(exact)), (beta2 * old_v, (1 - beta2) * g.astype(exact)**2)
        for new, (kept, added) in zip((m, v), terms):
            total = kept + added
            total[np.abs(total) < 2.0**-100] = 0
            if not (np.abs(new - total) <= 4 * u * (np.abs(kept) + np.abs(added)) * (total != 0)).all():
                return False
        change = lr / (1 - beta1_t) * m.astype(exact) / (np.sqrt(v.astype(exact) / (1 - beta2_t)) + eps)
        if not (np.abs(theta - (old_theta - change)) <= u * (7 * np.abs(change) + np.abs(theta))).all():
            return False
    return not m[::7].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_adam_but_for_rounding(dtype):
    few = 32 * float(np.finfo(dtype).eps)
    assert is_adam(functools.partial(call, ops.adam), dtype) and is_adam(ops.adam, dtype)
    assert not is_adam(lambda *a: ops.adam(*a[:4], a[4] * (1 + few), *a[5:]), dtype)
    assert not is_adam(lambda *a: ops.adam(*a[:5], a[5] * (1 + few), *a[6:]), dtype)


def adam_matmul_case(rows, n, depth, dtype):
    """A, stored column by column as X^T is, B, theta, g, m and v."""
    theta, g, m, v = (normal(rows * n, dtype) for _ in range(4))
    return np.asfortranarray(normal((rows, depth), dtype)), normal((depth, n), dtype), theta, g, m, np.abs(v)


ADAM = 1e-3, 0.9, 0.999, 1e-8, 0.5, 0.25
BANDS = list(itertools.product(sorted({1, 7, simd.ROWS - 1, simd.ROWS, simd.ROWS + 1, 2 * simd.ROWS, 3 * simd.ROWS + 1}),
                               (1, 15, 16, 17, 32, 49), (1, 33)))


def steps_like_its_parts(step, dtype, rows, n, depth):
    """Whether ``step`` leaves the bits of a product, then a step of Adam, each known to be right, and A and B alone."""
    A, B, theta, g, m, v = case = adam_matmul_case(rows, n, depth, dtype)
    stepped, product = [array.copy(order="A") for array in case], np.empty((rows, n), dtype)
    step(*stepped, *ADAM)
    call(ops.matmul, A, B, product)
    call(ops.adam, theta, product.ravel(), m, v, *ADAM)
    return all(a.tobytes() == b.tobytes() for a, b in zip(stepped[:3] + stepped[4:], (A, B, theta, m, v)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_along_a_product_has_the_bits_of_its_parts(dtype):
    step = compiled_call(ops.adam_matmul, 12)
    linked.load(dtype, linked.matrix_adam)
    assert all(steps_like_its_parts(step, dtype, *sizes) for sizes in BANDS)


def test_adam_takes_its_step_after_a_product_as_long_as_the_code_for_both_is_missing():
    step, sizes = compiled_call(ops.adam_matmul, 12), (2 * simd.ROWS, 17, 33)
    linked.load(np.float32, linked.matrix_adam)
    address = linked.addresses[linked.symbol(linked.matrix_adam, np.float32)]
    loaded = int(address[0])
    try:
        same = [steps_like_its_parts(step, np.float32, *sizes) for address[0] in (loaded, 0, something_else())]
    finally:
        address[0] = loaded
    assert same == [True, True, False]  # what is called in its place, if it is there, does nothing


@pytest.mark.parametrize("fault", ["a band late", "one parameter less"])
def test_adam_along_a_product_with_a_fault_is_found(fault):
    def wrong(A, B, theta, g, m, v, *settings):
        call(ops.matmul, A, B, (product := np.empty((len(A), B.shape[1]), A.dtype)))
        g = np.roll(product, simd.ROWS, axis=0).ravel() if fault == "a band late" else product.ravel()
        state = [array[:-1] for array in (theta, g, m, v)] if fault == "one parameter less" else (theta, g, m, v)
        call(ops.adam, *state, *settings)
    assert not steps_like_its_parts(wrong, np.float32, 3 * simd.ROWS + 1, 17, 33)


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
    call(ops.cross_entropy, Z, T, 1.0, rows, D)
    assert rows[0] == pytest.approx(1000, rel=1e-6) and D[0].tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-30)


def exact_cross_entropy(z, t):
    """The loss and its gradient by the definition, -t log p - (1 - t) log(1 - p), in 60 digits; and p."""
    with localcontext() as context:
        context.prec = 60
        z, t = Decimal(float(z)), Decimal(float(t))
        e = (-abs(z)).exp()
        p, q = (1 / (1 + e), e / (1 + e)) if z > 0 else (e / (1 + e), 1 / (1 + e))
        near = (1 + e).ln() if e > Decimal(10)**-20 else e - e * e / 2 + e**3 / 3
        log_p, log_q = (-near, -z - near) if z > 0 else (z - near, -near)
        return -t * log_p - (1 - t) * log_q, p - t, p


def last_place(x, dtype):
    """The unit in the last place of the dtype that a number of the size of x has."""
    return Decimal(float(np.spacing(dtype(min(abs(float(x)), float(np.finfo(dtype).max))))))


def logits_and_targets(dtype, count=200):
    rng = np.random.default_rng(7)
    size = np.concatenate([rng.uniform(0, 30, count), rng.uniform(0, 110, count), 10.0**rng.uniform(-40, 38, count), [0, 1e38]])
    z = (size * rng.choice([-1, 1], size.size)).astype(dtype)
    t = rng.choice([0, 1, 0.5, 1e-6, 1 - 1e-6, *rng.uniform(size=9)], size.size).astype(dtype)
    return z[:, None], t[:, None]


def errors_of_cross_entropy(cross_entropy, dtype):
    """The largest error of the loss, and of its gradient, in units in the last place: of the loss; of the larger of p and t."""
    z, t = logits_and_targets(dtype)
    rows, D = cross_entropy(z, t)
    assert np.isfinite(rows).all() and np.isfinite(D).all()
    loss = gradient = Decimal(0)
    for n, (x, y) in enumerate(zip(z[:, 0], t[:, 0])):
        expected, slope, p = exact_cross_entropy(x, y)
        loss = max(loss, abs(Decimal(float(rows[n])) - expected) / last_place(expected, dtype))
        gradient = max(gradient, abs(Decimal(float(D[n, 0])) - slope) / last_place(max(p, Decimal(float(y))), dtype))
    return float(loss), float(gradient)


def compiled_cross_entropy(Z, T):
    rows, D = np.empty(len(Z), Z.dtype), np.empty_like(Z)
    call(ops.cross_entropy, Z, T, 1.0, rows, D)
    return rows, D


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cross_entropy", [compiled_cross_entropy, ops.cross_entropy], ids=["compiled", "NumPy"])
def test_N3_cross_entropy_within_4_and_its_gradient_within_2_last_places(cross_entropy, dtype):
    with np.errstate(under="ignore"):
        loss, gradient = errors_of_cross_entropy(cross_entropy, dtype)
    assert 0 < loss <= 4 and 0 < gradient <= 2


def test_N3_the_textbook_formula_would_be_noticed():
    """max(z, 0) - z t + log(1 + exp(-|z|)) cancels."""
    def textbook(Z, T):
        return (np.maximum(Z, 0) - Z * T + np.log1p(np.exp(-np.abs(Z))))[:, 0], ops.cross_entropy(Z, T)[1]
    with np.errstate(under="ignore"):
        assert errors_of_cross_entropy(textbook, np.float32)[0] > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_N3_no_plateau(dtype):
    """However wrong an output is, its loss grows with its logit, and the gradient points away from it."""
    z = np.append(np.linspace(-80, 100, 181), 10.0**np.arange(3, 39)).astype(dtype)[:, None]
    for target, sign in ((0, 1), (1, -1)):
        rows, D = compiled_cross_entropy(sign * z, np.full_like(z, target))
        wrong, sure = sign * D[z >= 0], sign * D[z > 40]
        assert (np.diff(rows) > 0).all() and (wrong >= 0.5).all() and (sure == 1).all()


# ---- moments of units that are dead ------------------------------------------------------------------------------------------


def dead_steps(adam, dtype, steps=10_000):
    """Moments after so many steps without a gradient, and the smallest that was not zero on the way."""
    size = 10.0**np.linspace(-36, 0, 65)
    theta, g, m, v = np.zeros(65, dtype), np.zeros(65, dtype), size.astype(dtype), (size * size).clip(1e-37).astype(dtype)
    smallest = np.inf
    for step in range(steps):
        adam(theta, g, m, v, 1e-3, 0.9, 0.99, 1e-8, 0.0, 0.0)
        if step % 50 == 0:
            left = np.concatenate([m[m != 0], v[v != 0]])
            smallest = min(smallest, left.min(initial=np.inf))
    return m, v, smallest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compile_it", [True, False], ids=["compiled", "NumPy"])
def test_N5_moments_of_dead_units_become_zero_and_never_subnormal(compile_it, dtype):
    m, v, smallest = dead_steps(compiled_call(ops.adam, 10) if compile_it else ops.adam, dtype)
    assert not m.any() and not v.any() and 2.0**-100 <= smallest < 2.0**-80


def test_N5_without_the_flush_they_would_stay_subnormal(monkeypatch):
    monkeypatch.setattr(ops, "flush", lambda moment: None)
    m, v, smallest = dead_steps(ops.adam, np.float32, steps=3000)
    assert m.any() and v.any() and smallest < np.finfo(np.float32).tiny


@pytest.mark.parametrize("options", [INNER, COUNTED], ids=["without counts", "counted"])
def test_an_array_is_allocated_only_where_references_are_counted(options):
    """Elsewhere it would never be given back, or too soon; Numba refuses to compile that."""
    def allocate(n):
        return np.zeros(n)[0]
    inner = njit(**options)(allocate)
    outer = njit(**OPTIONS)(lambda n: inner(n))
    if options is COUNTED:
        assert outer(3) == 0
    else:
        with pytest.raises(NumbaError, match="No implementation of function .*zeros"):
            outer(3)


def test_every_operation_of_the_vocabulary_is_compiled():
    parts_of_others = {"flush", "inside", "scale"}
    public = {name for name, value in vars(ops).items() if inspect.isfunction(value)} - parts_of_others
    assert public == set(operands(np.float32)) | {"add_matmul", "adam", "adam_matmul", "sgd"}
