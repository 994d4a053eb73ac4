"""Planted bugs: every one must be seen, on every seed, in NumPy's path and in the compiled one."""

import functools

import compiled_case
import numpy as np
import oracle
import pytest
from cases import ROWS, Case, close, consistent, exact, passes, zoo
from numba.core.caching import NullCache

from ae_scratch import SGD, Adam, Dense, KLActivity, L1Activity, MeanSquaredError, ReLU, Sigmoid, Tanh, TiedDense
from ae_scratch.engine import driver, steps
from ae_scratch.kernels import reference as ops

SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 20))]

# ---- in the backward pass, losses and penalties --------------------------------------------------------------------------


def first_rows_of(method):
    return lambda self, dY, X, *out: method(self, dY[:-1], X[:-1], *out)


def with_gradients(change):
    """Dense.parameter_gradients followed by a change of (dW, db) in place."""
    original = Dense.parameter_gradients

    def method(self, dY, X, *out):
        dW, db = original(self, dY, X, *out)
        change(dW, db, X, dY)
        return dW, db
    return method


def zero_entry(dW, db, X, dY):
    dW[0, 0] = 0


def bias_mean(dW, db, X, dY):
    db /= len(dY)


def bias_of_first_row(dW, db, X, dY):
    db[:] = dY[0]


def rows_reversed(dW, db, X, dY):
    dW[:] = X.T @ dY[::-1]


def slightly_large(dW, db, X, dY):
    dW *= 1 + 1e-6


def tail_skipped(dW, db, X, dY):
    dW[:, dW.shape[1] // 4 * 4:] = 0


def into(out, value):
    out[...] = value
    return out


def last_input_forgotten(dY, B, out=None):
    C = MATMUL(dY, B, out)
    C[..., -1] = 0
    return C


def as_float32(dY, B, out=None):
    return into(out, MATMUL(dY, B).astype(np.float32))


def transposed(dY, B, out=None):
    return MATMUL(dY, B.T if B.shape[0] == B.shape[1] else B, out)


def all_but_the_last(dY, A, strength, out=None):
    out[:-1] = dY[:-1] + strength * np.sign(A[:-1])
    out[-1] = dY[-1]
    return out


def residual(change):
    def cross_entropy(Z, T):
        rows, D = CROSS_ENTROPY(Z, T)
        return rows, change(D, Z, T)
    return cross_entropy


def kl_slope(change):
    """kl_backward with another slope, of m, strength and rho."""
    return lambda dY, m, s, rho, out=None: into(out, dY + change(m, s, rho))


def decay(change):
    """weight_gradient with something else than weight_decay W."""
    return lambda X, dY, W, d, out=None: into(np.empty_like(W) if out is None else out, X.T @ dY + change(d, W))


def tie(change):
    """add_matmul with something else than C + A B."""
    return lambda A, B, C=None: A @ B if C is None else into(C, change(A, B, C))


MATMUL, CROSS_ENTROPY, SQUARED_ERROR, SCALE = ops.matmul, ops.cross_entropy, ops.squared_error, ops.scale
BUGS = {
    "loss gradient without 1/N": (ops, "scale", lambda D, f, out=None: SCALE(D, f * len(D), out)),
    "loss gradient without 1/n": (ops, "scale", lambda D, f, out=None: SCALE(D, f * D.shape[1], out)),
    "loss gradient with the wrong sign": (ops, "scale", lambda D, f, out=None: SCALE(D, -f, out)),
    "squared error without the 2": (MeanSquaredError, "slope", 1.0),
    "cross-entropy gradient P (1 - T)": (ops, "cross_entropy", residual(lambda D, Z, T: (D + T) * (1 - T))),
    "cross-entropy gradient times sigmoid'": (ops, "cross_entropy", residual(lambda D, Z, T: D * (D + T) * (1 - D - T))),
    "cross-entropy gradient in float32": (ops, "cross_entropy", residual(lambda D, Z, T: D.astype(np.float32).astype(float))),
    "cross-entropy forgets log1p": (ops, "cross_entropy",
                                    lambda Z, T: (np.where(Z > 0, Z * (1 - T), -Z * T).sum(axis=1), CROSS_ENTROPY(Z, T)[1])),
    "relu without its mask": (ops, "relu_backward", lambda dY, Y, out=None: into(out, dY)),
    "relu mask inverted": (ops, "relu_backward", lambda dY, Y, out=None: into(out, dY * (Y <= 0))),
    "relu mask of the gradient": (ops, "relu_backward", lambda dY, Y, out=None: into(out, dY * (dY > 0))),
    "relu that leaks 1e-6": (ops, "relu_backward", lambda dY, Y, out=None: into(out, np.where(Y > 0, dY, 1e-6 * dY))),
    "sigmoid' = Y": (ops, "sigmoid_backward", lambda dY, Y, out=None: into(out, dY * Y)),
    "sigmoid' = 1 - Y^2": (ops, "sigmoid_backward", lambda dY, Y, out=None: into(out, dY * (1 - Y * Y))),
    "sigmoid' replaces dY": (ops, "sigmoid_backward", lambda dY, Y, out=None: into(out, Y * (1 - Y))),
    "tanh' = 1 - Y": (ops, "tanh_backward", lambda dY, Y, out=None: into(out, dY * (1 - Y))),
    "tanh' = Y (1 - Y)": (ops, "tanh_backward", lambda dY, Y, out=None: into(out, dY * Y * (1 - Y))),
    "L1 missing": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, dY)),
    "L1 with the wrong sign": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, dY - s * np.sign(A))),
    "L1 doubled": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, dY + 2 * s * np.sign(A))),
    "L1 as L2": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, dY + s * A)),
    "L1 with the sign of dY": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, dY + s * np.sign(dY))),
    "L1 replaces dY": (ops, "l1_backward", lambda dY, A, s, out=None: into(out, s * np.sign(A))),
    "L1 for all rows but the last": (ops, "l1_backward", all_but_the_last),
    "L1 averaged where it should add up": (L1Activity, "strength", lambda self, rows: self.lam / rows),
    "L1 added up where it should average": (L1Activity, "strength", lambda self, rows: self.lam),
    "L1 penalty not counted": (L1Activity, "penalty_of", lambda self, mean, rows: 0.0),
    "KL missing": (ops, "kl_backward", kl_slope(lambda m, s, rho: 0)),
    "KL with the wrong sign": (ops, "kl_backward", kl_slope(lambda m, s, rho: s * (rho / m - (1 - rho) / (1 - m)))),
    "KL of m from rho": (ops, "kl_backward", kl_slope(lambda m, s, rho: s * np.log(m * (1 - rho) / (rho * (1 - m))))),
    "KL: only the first term": (ops, "kl_backward", kl_slope(lambda m, s, rho: -s * rho / m)),
    "KL: rho and 1 - rho exchanged": (ops, "kl_backward", kl_slope(lambda m, s, rho: s * (rho / (1 - m) - (1 - rho) / m))),
    "KL without 1/N": (KLActivity, "strength", lambda self, rows: self.beta),
    "KL of each row, not of the mean": (KLActivity, "mean", lambda self, A: A),
    "KL of the first rows' mean": (KLActivity, "mean", lambda self, A: A[:-1].mean(axis=0)),
    "KL penalty not counted": (KLActivity, "penalty_of", lambda self, mean, rows: 0.0),
    "KL penalty averaged over units": (KLActivity, "penalty_of", lambda self, m, rows: self.beta * ops.kl(m, self.rho).mean()),
    "decay missing": (ops, "weight_gradient", decay(lambda d, W: 0)),
    "decay doubled": (ops, "weight_gradient", decay(lambda d, W: 2 * d * W)),
    "decay as L1": (ops, "weight_gradient", decay(lambda d, W: d * np.sign(W))),
    "decay with the wrong sign": (ops, "weight_gradient", decay(lambda d, W: -d * W)),
    "decay divided by the rows": (ops, "weight_gradient", decay(lambda d, W: d * W / ROWS)),
    "decay of the penalty without 1/2": (Dense, "penalty_of", lambda self, mean, rows: self.weight_decay * (self.W**2).sum()),
    "decay counted twice where tied": (TiedDense, "penalty_of",
                                       lambda self, mean, rows: self.source.weight_decay / 2 * (self.W**2).sum()),
    "tied: the decoder's path missing": (ops, "add_matmul", tie(lambda A, B, C: C)),
    "tied: the encoder's path overwritten": (ops, "add_matmul", tie(lambda A, B, C: A @ B)),
    "tied: paths subtracted": (ops, "add_matmul", tie(lambda A, B, C: C - A @ B)),
    "tied: paths averaged": (ops, "add_matmul", tie(lambda A, B, C: (C + A @ B) / 2)),
    "tied: dX of a frozen copy": (TiedDense, "input_gradient", lambda self, dY, X, Y, out=None: into(out, dY @ np.sign(self.W))),
    "bias: mean for sum": (Dense, "parameter_gradients", with_gradients(bias_mean)),
    "bias: first row only": (Dense, "parameter_gradients", with_gradients(bias_of_first_row)),
    "last sample skipped": (Dense, "parameter_gradients", first_rows_of(Dense.parameter_gradients)),
    "rows reversed": (Dense, "parameter_gradients", with_gradients(rows_reversed)),
    "one entry of dW zero": (Dense, "parameter_gradients", with_gradients(zero_entry)),
    "dW too large by 1e-6": (Dense, "parameter_gradients", with_gradients(slightly_large)),
    "dW: columns beyond a multiple of 4 skipped": (Dense, "parameter_gradients", with_gradients(tail_skipped)),
    "dX: last input forgotten": (ops, "matmul", last_input_forgotten),
    "dX in float32": (ops, "matmul", as_float32),
    "dX through W for W^T": (Dense, "input_gradient", lambda self, dY, X, Y, out=None: transposed(dY, self.W.T, out)),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_G3_the_planted_bugs_start_from_code_that_passes(seed):
    assert all(passes(case) for case in zoo(seed))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bug", list(BUGS))
def test_G3_a_planted_bug_is_caught(monkeypatch, bug, seed):
    cases = zoo(seed)  # before the bug is there
    monkeypatch.setattr(*BUGS[bug])
    assert not all(map(exact, cases)) or not all(map(consistent, cases))


# ---- in the optimizers ---------------------------------------------------------------------------------------------------


def adam(m=lambda m, g, b1, b2: b1 * m + (1 - b1) * g, v=lambda v, g, b1, b2: b2 * v + (1 - b2) * g * g,
         step=lambda m, v, g, eps, a, b: m / (1 - a) / (np.sqrt(v / (1 - b)) + eps)):
    """ops.adam with something else for one of its three lines. a, b: the powers of beta1 and beta2."""
    def update(theta, g, M, V, lr, beta1, beta2, eps, beta1_t, beta2_t):
        M[:], V[:] = m(M, g, beta1, beta2), v(V, g, beta1, beta2)
        theta -= lr * step(M, V, g, eps, beta1_t, beta2_t)
    return update


def sgd(velocity=lambda v, g, momentum: momentum * v + g, step=lambda v, g, momentum: v):
    def update(theta, g, v, lr, momentum):
        v[:] = velocity(v, g, momentum)
        theta -= lr * step(v, g, momentum)
    return update


OF_UPDATES = {
    "Adam: m lacks 1 - beta1": ("adam", adam(m=lambda m, g, b1, b2: b1 * m + g)),
    "Adam: m by beta2": ("adam", adam(m=lambda m, g, b1, b2: b2 * m + (1 - b2) * g)),
    "Adam: m is g": ("adam", adam(m=lambda m, g, b1, b2: g)),
    "Adam: v lacks 1 - beta2": ("adam", adam(v=lambda v, g, b1, b2: b2 * v + g * g)),
    "Adam: v by beta1": ("adam", adam(v=lambda v, g, b1, b2: b1 * v + (1 - b1) * g * g)),
    "Adam: v of |g|": ("adam", adam(v=lambda v, g, b1, b2: b2 * v + (1 - b2) * np.abs(g))),
    "Adam: v of the largest (AMSGrad)": ("adam", adam(v=lambda v, g, b1, b2: np.maximum(v, b2 * v + (1 - b2) * g * g))),
    "Adam: m is not corrected": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (np.sqrt(v / (1 - b)) + eps))),
    "Adam: v is not corrected": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (1 - a) / (np.sqrt(v) + eps))),
    "Adam: corrections exchanged": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (1 - b) / (np.sqrt(v / (1 - a)) + eps))),
    "Adam: eps under the root": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (1 - a) / np.sqrt(v / (1 - b) + eps))),
    "Adam: eps before the correction": ("adam", adam(
        step=lambda m, v, g, eps, a, b: m / (1 - a) * np.sqrt(1 - b) / (np.sqrt(v) + eps))),
    "Adam: no eps": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (1 - a) / np.sqrt(v / (1 - b)))),
    "Adam: no root": ("adam", adam(step=lambda m, v, g, eps, a, b: m / (1 - a) / (v / (1 - b) + eps))),
    "Adam: climbs": ("adam", adam(step=lambda m, v, g, eps, a, b: -m / (1 - a) / (np.sqrt(v / (1 - b)) + eps))),
    "Adam: steps by g": ("adam", adam(step=lambda m, v, g, eps, a, b: g / (np.sqrt(v / (1 - b)) + eps))),
    "Adam: m in float32": ("adam", adam(m=lambda m, g, b1, b2: np.float32(b1 * m + (1 - b1) * g))),
    "SGD: climbs": ("sgd", sgd(step=lambda v, g, momentum: -v)),
    "SGD: forgets its velocity": ("sgd", sgd(velocity=lambda v, g, momentum: g)),
    "SGD: dampens": ("sgd", sgd(velocity=lambda v, g, momentum: momentum * v + (1 - momentum) * g)),
    "SGD: looks ahead (Nesterov)": ("sgd", sgd(step=lambda v, g, momentum: g + momentum * v)),
}


def updates_are_right(seed):
    """Whether both optimizers go where the oracle's go, over gradients of very different sizes."""
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=6), rng.normal(size=(20, 6)) * 10.0 ** np.arange(-4, 2)
    for optimizer, expected in ((Adam(0.02, 0.8, 0.95, 1e-3), oracle.adam(start, gradients, 0.02, 0.8, 0.95, 1e-3)),
                                (SGD(0.02, 0.7), oracle.sgd(start, gradients, 0.02, 0.7))):
        theta = start.copy()
        for g in gradients:
            optimizer.step(theta, g)
        if theta.tolist() != pytest.approx(expected, rel=1e-11):
            return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_G3_a_planted_bug_of_an_optimizer_is_caught(monkeypatch, seed):
    assert updates_are_right(seed)
    for name, (operation, wrong) in OF_UPDATES.items():
        monkeypatch.setattr(ops, operation, wrong)
        assert not updates_are_right(seed), name
        monkeypatch.undo()


# ---- in the compiled path ------------------------------------------------------------------------------------------------


@functools.cache
def trained():
    """Two networks that between them have every kind of layer but one, and every penalty."""
    return [Case(0, (6, 7, 4, 5), "relu", "mse", 0.1, "mean", code=2),
            Case(0, (9, 7, 3, 7, 9), "sigmoid", "mse", code=2, weight_decay=0.03, kl=(0.3, 0.05), tied=True)]


def compiled_passes(cases):
    return all(close(compiled_case.gradients(case), {name: case.exact[name] for name in case.network.params}, 1e-11,
                     case.rounding_errors()) for case in cases)


DOUBLE_DECAY = np.array([1, 1, 2])
OF_NUMBERS = {  # which compiled code is handed: no need to compile it anew
    "squared error without the 2": (MeanSquaredError, "slope", 1.0),
    "L1 added up where it should average": (L1Activity, "strength", lambda self, rows: self.lam),
    "KL without 1/N": (KLActivity, "strength", lambda self, rows: self.beta),
    "decay doubled": (driver, "numbers_of", lambda layer, rows, right=driver.numbers_of: right(layer, rows) * DOUBLE_DECAY),
}
OF_SOURCES = {  # which Numba compiles as they stand
    "relu without its mask": (ReLU, "input_gradient", lambda self, dY, X, Y, out: ops.copy(dY, out)),
    "sigmoid' = tanh'": (Sigmoid, "input_gradient", lambda self, dY, X, Y, out: ops.tanh_backward(dY, Y, out)),
    "tanh' = sigmoid'": (Tanh, "input_gradient", lambda self, dY, X, Y, out: ops.sigmoid_backward(dY, Y, out)),
    "dX through half of W": (Dense, "input_gradient", lambda self, dY, X, Y, out: ops.matmul(dY[:, :1], self.W.T[:1], out)),
    "bias: mean for sum": (Dense, "parameter_gradients", lambda self, dY, X, dW, db: (
        ops.weight_gradient(X, dY, self.W, self.weight_decay, dW), ops.mean_rows(dY, db))),
    "last sample skipped": (Dense, "parameter_gradients", lambda self, dY, X, dW, db: (
        ops.weight_gradient(X[:-1], dY[:-1], self.W, self.weight_decay, dW), ops.sum_rows(dY, db))),
    "tied: the encoder's path overwritten": (TiedDense, "parameter_gradients", lambda self, dY, X, dW, db: (
        ops.matmul(dY.T, X, dW), ops.sum_rows(dY, db))),
    "L1 missing": (L1Activity, "input_gradient", lambda self, dY, X, Y, out: ops.copy(dY, out)),
    "L1 doubled": (L1Activity, "input_gradient", lambda self, dY, X, Y, out: ops.l1_backward(dY, X, 2 * self.strength(1), out)),
    "KL missing": (KLActivity, "input_gradient", lambda self, dY, X, Y, out: ops.copy(dY, out)),
    "KL: rho and 1 - rho exchanged": (KLActivity, "input_gradient", lambda self, dY, X, Y, out: ops.kl_backward(
        dY, self.mean(X), self.strength(1), 1 - self.rho, out)),
}


def test_G3_a_planted_bug_of_what_compiled_code_is_handed_is_caught(monkeypatch):
    assert compiled_passes(trained())
    for bug in OF_NUMBERS:
        monkeypatch.setattr(*OF_NUMBERS[bug])
        assert not compiled_passes(trained()), bug
        monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("bug", [None, *OF_SOURCES])
def test_G3_a_planted_bug_is_caught_when_compiled(monkeypatch, bug):
    cases = [*trained(), Case(0, (6, 5, 4), "tanh", "mse")]
    original = driver.layers_of

    def layers_of(*arguments, **settings):
        layers = original(*arguments, **settings)
        layers.present |= {f"with {bug}"}  # a type of its own: compiled anew
        return layers
    monkeypatch.setattr(driver, "layers_of", layers_of)
    monkeypatch.setattr(steps.steps, "_cache", NullCache())  # and kept from nobody else's sight
    if bug:
        monkeypatch.setattr(*OF_SOURCES[bug])
        cases = [case for case in cases if any(isinstance(layer, OF_SOURCES[bug][0]) for layer in case.network.layers)][:1]
    assert compiled_passes(cases) == (bug is None)


def test_G3_there_are_enough_of_them():
    from ae_scratch import bugs

    assert len(BUGS) >= 59 and len(OF_UPDATES) >= 20 and len(bugs.BUGS) >= 16 and len(OF_NUMBERS) + len(OF_SOURCES) >= 15
