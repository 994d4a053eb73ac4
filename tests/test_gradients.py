"""Every gradient against two independent derivatives: the complex step on the oracle, and central differences on the code
itself."""

import numpy as np
import oracle
import pytest
from cases import ACTIVATIONS, ROWS, Case, agree, passes

from ae_scratch import BinaryCrossEntropy, Dense, KLActivity, L1Activity, MeanSquaredError, TiedDense
from ae_scratch.kernels import reference as ops

SIZES = {1: (5, 7), 2: (7, 4, 6), 3: (5, 8, 3, 6), 4: (6, 7, 4, 8, 5)}
PENALTIES = [(0.0, "sum"), (1e-5, "sum"), (0.01, "sum"), (1e-5, "mean"), (0.1, "mean")]


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("lam, reduction", PENALTIES)
@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_the_whole_objective(activation, loss, lam, reduction, depth):
    case = Case(0, SIZES[depth], activation, loss, lam, reduction, code=depth // 2)
    assert passes(case)
    assert all((grad != 0).mean() >= 0.9 for grad in case.analytic().values())  # there was something to compare


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("output", list(ACTIVATIONS))
def test_every_output_activation_and_odd_depths(output, depth):
    assert passes(Case(1, SIZES[depth], "tanh", "mse", output=output if output != "relu" or depth > 1 else "tanh"))


@pytest.mark.parametrize("settings", [dict(), dict(lam=1e-3, reduction="mean")])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("kl", [None, (0.3, 0.05), (1e-3, 0.6)])
@pytest.mark.parametrize("sizes, tied", [((7, 4, 6), False), ((6, 5, 6), True), ((6, 7, 3, 7, 6), True)])
def test_decay_sparsity_and_ties(sizes, tied, kl, weight_decay, settings):
    assert passes(Case(1, sizes, "sigmoid", "mse", code=len(sizes) // 2, weight_decay=weight_decay, kl=kl, tied=tied, **settings))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_other_activations_with_ties_and_decay(activation):
    assert passes(Case(2, (6, 7, 4, 7, 6), activation, "binary_crossentropy", 1e-3, code=2, weight_decay=0.01, tied=True))


def test_the_shares_of_decay_sparsity_and_ties_are_visible():
    plain, *others = (Case(1, (6, 5, 6), "sigmoid", "mse", **settings).analytic()["0.W"]
                      for settings in ({}, {"weight_decay": 0.03}, {"kl": (0.3, 0.05)}, {"tied": True}))
    assert all(np.abs(other - plain).max() >= 0.1 * np.abs(plain).max() for other in others)


def test_the_gradient_of_a_tied_weight_is_the_sum_of_both_paths():
    """Each path by the complex step on a model with two copies of W, of which one is moved."""
    case = Case(1, (6, 5, 6), "sigmoid", "mse", tied=True)
    there, home = [layer for layer in case.model if layer[0] in ("dense", "tied")]
    home[1] = there[1].copy()
    f = lambda: oracle.objective(case.model, "mse", case.X, case.T)  # noqa: E731
    paths = [oracle.complex_step(f, layer[1]) for layer in (there, home)]
    assert agree(case.analytic()["0.W"], paths[0] + paths[1], 1e-11) and all(np.abs(path).max() > 1e-3 for path in paths)


def test_more_rows_than_a_tile_and_a_batch():
    assert passes(Case(0, (5, 7, 4), "tanh", "mse", 0.1, "mean", rows=37))


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_and_an_overcomplete_network_on_several_seeds(seed):
    assert passes(Case(seed, (3, 9, 10, 4), "relu", "binary_crossentropy", 1e-5, "sum", code=2))


def test_the_l1_share_of_the_gradient_is_visible():
    with_penalty, without = (Case(0, SIZES[2], "sigmoid", "mse", lam, "sum").analytic()["0.W"] for lam in (0.1, 0.0))
    assert np.abs(with_penalty - without).max() >= 0.1 * np.abs(with_penalty).max()


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh", "identity", "l1 sum", "l1 mean", "dense", "tied", "kl"])
def test_each_layer_alone_with_a_random_upstream_gradient(kind):
    """f = sum of dY * Y (+ penalty) has the gradient that backward returns for dY."""
    rng = np.random.default_rng(2)
    X, dY = rng.normal(size=(ROWS, 5)), rng.normal(size=(ROWS, 7 if kind in ("dense", "tied") else 5))
    X[np.abs(X) < 1e-3] = 0.5
    X = oracle.sigmoid(X) if kind == "kl" else X
    dense, tied = Dense(5, 7, rng, np.float64, weight_decay=0.1), TiedDense(Dense(7, 5, rng, np.float64))
    layer, step = {
        "dense": (dense, ["dense", dense.W.astype(complex), dense.b.astype(complex), 0.1]),
        "tied": (tied, ["tied", tied.W.astype(complex), tied.b.astype(complex)]),
        "l1 sum": (L1Activity(0.3, "sum"), ["l1", 0.3, "sum"]), "l1 mean": (L1Activity(0.3, "mean"), ["l1", 0.3, "mean"]),
        "kl": (KLActivity(0.3, 0.1), ["kl", 0.3, 0.1])}.get(kind) or (ACTIVATIONS[kind](), [kind])
    model, point = [step], X.astype(complex)

    def f():
        Y, penalty = oracle.forward(model, point)
        return (dY * Y).sum() + penalty

    dX, grads = layer.backward(dY, layer.forward(X)[1])
    assert agree(dX, oracle.complex_step(f, point), 1e-11)
    for name, array in zip(grads, model[0][1:]):
        assert agree(grads[name], oracle.complex_step(f, array), 1e-11)
    assert set(grads) == ({"W", "b"} if kind == "tied" else set(layer.parameters))


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), MeanSquaredError()])
def test_each_loss_alone(loss):
    rng = np.random.default_rng(3)
    Y, T = rng.normal(size=(ROWS, 6)), rng.uniform(size=(ROWS, 6))
    value, D = loss.forward(Y, T)
    name = "mse" if isinstance(loss, MeanSquaredError) else "binary_crossentropy"
    point = Y.astype(complex)
    assert agree(loss.backward(D), oracle.complex_step(lambda: oracle.LOSSES[name](point, T), point), 1e-11)
    assert value == pytest.approx(oracle.LOSSES[name](Y, T), rel=1e-14)


@pytest.mark.parametrize("kind", [*ACTIVATIONS, "dense", "tied"])
def test_laws_of_backward(kind):
    """Zero in gives zero out, twice gives the same, operands are left alone, the dtype is kept."""
    rng = np.random.default_rng(4)
    layer = {"dense": lambda: Dense(4, 4, rng), "tied": lambda: TiedDense(Dense(4, 4, rng))}.get(kind, ACTIVATIONS.get(kind))()
    X, dY = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    kept = X.copy(), dY.copy()
    cache = layer.forward(X)[1]
    (first, grads), (second, grads_again) = layer.backward(dY, cache), layer.backward(dY, cache)
    assert first.dtype == np.float32 and first.tobytes() == second.tobytes()
    assert all(grads[name].tobytes() == grads_again[name].tobytes() and grads[name].dtype == np.float32 for name in grads)
    zero, zero_grads = layer.backward(np.zeros_like(dY), cache)
    assert not zero.any() and not any(grad.any() for grad in zero_grads.values())
    assert X.tobytes() == kept[0].tobytes() and dY.tobytes() == kept[1].tobytes()


def test_the_derivative_at_a_kink_is_zero():
    zeros = np.array([[0.0, -0.0]])
    ones = np.ones_like(zeros)
    assert not ops.relu_backward(ones, ops.relu(zeros)).any()
    assert not ops.l1_backward(np.zeros_like(zeros), zeros, 1.0).any()


# ---- planted bugs: every one must be seen, on every seed ------------------------------------------------------------


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


def zoo(seed):
    """A few networks that between them reach every line of the backward pass."""
    return [Case(seed, (6, 5, 5, 7), "relu", "binary_crossentropy", 1e-5, "sum", code=2),
            Case(seed, (6, 7, 4, 5), "sigmoid", "mse", 1e-5, "mean", code=2, output="sigmoid"),
            Case(seed, (5, 5, 6), "tanh", "binary_crossentropy", 1e-5, "mean", code=1),
            Case(seed, (5, 4, 5), "sigmoid", "mse", code=1, weight_decay=0.03, kl=(0.3, 0.05), tied=True)]


@pytest.mark.parametrize("seed", range(4))
def test_the_planted_bugs_start_from_code_that_passes(seed):
    assert all(passes(case) for case in zoo(seed))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bug", list(BUGS))
def test_a_planted_bug_is_caught(monkeypatch, bug, seed):
    cases = zoo(seed)
    monkeypatch.setattr(*BUGS[bug])
    assert not all(passes(case) for case in cases)
