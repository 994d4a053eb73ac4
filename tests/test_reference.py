"""The operations against plain Python arithmetic, known values and their promises about operands, dtype and ``out``."""

import math

import numpy as np
import oracle
import pytest

from ae_scratch.kernels import reference as ops

SHAPES = [(1, 1, 1), (2, 3, 1), (7, 5, 3), (32, 17, 33)]


@pytest.mark.parametrize("m, k, n", SHAPES)
def test_products_on_integers_are_exact(m, k, n):
    rng = np.random.default_rng(0)
    A, B = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))
    expected = [[sum(int(A[i, p]) * int(B[p, j]) for p in range(k)) for j in range(n)] for i in range(m)]
    for dtype in (np.float32, np.float64):
        got = ops.matmul(A.astype(dtype), B.astype(dtype))
        assert got.dtype == dtype and got.tolist() == expected
        assert ops.affine(A.astype(dtype), B.astype(dtype), np.arange(n, dtype=dtype)).tolist() == [
            [value + j for j, value in enumerate(row)] for row in expected]
    assert ops.sum_rows(A.astype(float)).tolist() == [sum(int(a) for a in column) for column in A.T]


SCALARS = [-745.0, -40.0, -1.5, -1e-9, -0.0, 0.0, 1e-9, 0.3, 1.5, 40.0, 745.0]


@pytest.mark.parametrize("x", SCALARS)
def test_activations_are_right_at_single_points(x):
    X = np.array([[x]])
    sigmoid = 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
    assert ops.relu(X)[0, 0] == max(x, 0.0)
    assert ops.sigmoid(X)[0, 0] == pytest.approx(sigmoid, rel=4e-16, abs=5e-324)
    assert ops.tanh(X)[0, 0] == pytest.approx(math.tanh(x), rel=4e-16)
    assert ops.copy(X)[0, 0] == x


@pytest.mark.parametrize("t", [0.0, 1e-3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("z", SCALARS)
def test_cross_entropy_at_single_points(z, t):
    """From its definition in higher precision: log P and log (1 - P) through log1p of the side that does not cancel."""
    log_p, log_q = (-math.log1p(math.exp(-z)), -z - math.log1p(math.exp(-z))) if z > 0 else (
        z - math.log1p(math.exp(z)), -math.log1p(math.exp(z)))
    rows, D = ops.cross_entropy(np.array([[z]]), np.array([[t]]))
    assert rows[0] == pytest.approx(-t * log_p - (1 - t) * log_q, rel=1e-14, abs=1e-300)
    assert D[0, 0] == pytest.approx(math.exp(log_p) - t, rel=1e-14, abs=2e-16)


def test_cross_entropy_of_float32_logits_has_no_plateau():
    """Where clipped probabilities give a gradient of 0 (|z| > 17), the gradient is sigmoid(z) - t and the loss grows with z."""
    Z = np.array([[16.0, 17.0, 40.0, 1000.0, -1000.0]], np.float32)
    rows, D = ops.cross_entropy(Z.T, np.zeros_like(Z.T))
    assert rows.tolist() == pytest.approx([16.0, 17.0, 40.0, 1000.0, 0.0], rel=1e-6)
    assert D.ravel().tolist() == pytest.approx([1, 1, 1, 1, 0], rel=1e-6)


def test_cross_entropy_at_zero_is_log_2_per_feature():
    rows, _ = ops.cross_entropy(np.zeros((3, 7)), np.random.default_rng(0).uniform(size=(3, 7)))
    assert rows == pytest.approx(np.full(3, 7 * math.log(2)), rel=1e-15)


def test_squared_error_and_l1_by_hand():
    rows, D = ops.squared_error(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[0.0, 4.0], [0.0, 1.0]]))
    assert rows.tolist() == [5.0, 4.0] and D.tolist() == [[1.0, -2.0], [0.0, -2.0]]
    assert ops.l1(np.array([[1.0, -2.0], [0.0, 3.0]])).tolist() == [3.0, 3.0]
    assert ops.l1_backward(np.ones((1, 3)), np.array([[2.0, 0.0, -2.0]]), 0.5).tolist() == [[1.5, 1.0, 0.5]]


def test_kl_by_hand_and_at_the_ends():
    expected = [0.1 * math.log(0.1 / m) + 0.9 * math.log(0.9 / (1 - m)) for m in (0.1, 0.5, 0.9)]
    assert ops.kl(np.array([0.1, 0.5, 0.9]), 0.1).tolist() == pytest.approx(expected, rel=1e-14, abs=1e-16)
    slopes = ops.kl_backward(np.ones((2, 2)), np.array([0.1, 0.5]), 2.0, 0.1)
    assert slopes.tolist() == [pytest.approx([1.0, 1 + 2 * (0.9 / 0.5 - 0.1 / 0.5)])] * 2
    for dtype in (np.float32, np.float64):
        ends = ops.kl(np.array([0, 1], dtype), 0.1).tolist()
        edge = 2.0**-23
        assert ends == pytest.approx([0.1 * math.log(0.1 / edge) + 0.9 * math.log(0.9 / (1 - edge)),
                                      0.1 * math.log(0.1 / (1 - edge)) + 0.9 * math.log(0.9 / edge)], rel=1e-6)


def test_weight_decay_and_sums_by_hand():
    X, dY, W = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]]), np.array([[10.0, 20.0], [30.0, 40.0]])
    assert ops.weight_gradient(X, dY, W, 0.5).tolist() == [[8.0, 9.0], [21.0, 18.0]]
    assert ops.weight_gradient(X, dY, W, 0.0).tolist() == ops.add_matmul(X.T, dY).tolist() == [[3.0, -1.0], [6.0, -2.0]]
    assert ops.add_matmul(X.T, dY, W) is W and W.tolist() == [[13.0, 19.0], [36.0, 38.0]]
    assert ops.squares(dY).tolist() == [10.0] and ops.mean_rows(np.array([[1.0, 2.0], [3.0, 6.0]])).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("op", [ops.relu, ops.sigmoid, ops.tanh, ops.copy])
def test_nan_stays_nan(op):
    with np.errstate(invalid="ignore"):
        assert np.isnan(op(np.array([[np.nan]]))).all()


def calls(dtype):
    """Every operation with an ``out``, and operands for it."""
    rng = np.random.default_rng(1)
    A, B, X = (rng.normal(size=shape).astype(dtype) for shape in ((5, 4), (4, 3), (5, 4)))
    b = rng.normal(size=3).astype(dtype)
    Y = rng.uniform(size=(5, 4)).astype(dtype)
    same = A.shape
    return [(ops.matmul, (A, B), (5, 3)), (ops.affine, (A, B, b), (5, 3)), (ops.sum_rows, (A,), (4,)),
            (ops.relu, (A,), same), (ops.relu_backward, (A, X), same), (ops.sigmoid, (A,), same),
            (ops.sigmoid_backward, (A, Y), same), (ops.tanh, (A,), same), (ops.tanh_backward, (A, Y), same),
            (ops.copy, (A,), same), (ops.scale, (A, 0.3), same), (ops.l1_backward, (A, X, 0.3), same),
            (ops.mean_rows, (A,), (4,)),
            (ops.weight_gradient, (X, A, rng.normal(size=(4, 4)).astype(dtype), 0.3), (4, 4)),
            (ops.squares, (A,), (5,)), (ops.kl, (Y[0], 0.3), (4,)), (ops.kl_backward, (A, Y[0], 0.3, 0.1), same)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operands_are_left_alone_and_out_is_filled(dtype):
    for op, operands, shape in calls(dtype):
        kept = [np.copy(operand) for operand in operands]
        expected, out = op(*operands), np.full(shape, np.nan, dtype)
        assert op(*operands, out=out) is out
        assert out.tobytes() == expected.tobytes() and expected.dtype == dtype, op.__name__
        assert all(np.array_equal(operand, copy) for operand, copy in zip(operands, kept)), op.__name__


def test_adam_is_algorithm_1():
    from ae_scratch import Adam

    gradients = np.random.default_rng(2).normal(size=(50, 6)) * 10.0 ** np.arange(-8, 4, 2)
    theta, adam = np.linspace(-1, 1, 6), Adam(learning_rate=0.02, beta1=0.8, beta2=0.95, eps=1e-6)
    expected = oracle.adam(theta, gradients, 0.02, 0.8, 0.95, 1e-6)
    for g in gradients:
        adam.step(theta, g)
    assert theta.tolist() == pytest.approx(expected, rel=1e-12)


def test_default_settings_are_the_papers():
    from ae_scratch import Adam

    adam = Adam()
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps) == (1e-3, 0.9, 0.999, 1e-8)


@pytest.mark.parametrize("settings, message", [
    (dict(learning_rate=-1), "learning_rate must be finite and above 0"), (dict(beta1=1.0), "beta1 must be below 1"),
    (dict(learning_rate="x"), "learning_rate must be a number"), (dict(eps=0), "eps must be finite and above 0")])
def test_settings_of_optimizers_that_make_no_sense(settings, message):
    from ae_scratch import SGD, Adam, L1Activity

    with pytest.raises((TypeError, ValueError), match=message):
        Adam(**settings)
    with pytest.raises(ValueError, match="momentum must be below 1"):
        SGD(0.1, 5.0)
    with pytest.raises(ValueError, match="lam must be finite and at least 0"):
        L1Activity(float("nan"))


def test_sgd_with_momentum_by_hand():
    from ae_scratch import SGD

    theta, sgd = np.array([1.0]), SGD(learning_rate=0.1, momentum=0.5)
    for expected in (0.8, 0.5, 0.15):  # velocities 2, 3, 3.5
        sgd.step(theta, np.array([2.0]))
        assert theta[0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_a_dead_unit_become_exactly_zero(dtype):
    theta, m, v = (np.ones(4, dtype) for _ in range(3))
    m[:], v[:] = 2.0**-99, 2.0**-99
    beta1_t = beta2_t = 0.5
    for _ in range(2000):
        ops.adam(theta, np.zeros(4, dtype), m, v, 1e-3, 0.9, 0.999, 1e-8, beta1_t, beta2_t)
    assert not m.any() and not v.any() and np.isfinite(theta).all()
