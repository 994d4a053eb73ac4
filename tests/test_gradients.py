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
def test_G1_the_whole_objective(activation, loss, lam, reduction, depth):
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


def test_G4_the_derivative_at_a_kink_is_zero():
    zeros = np.array([[0.0, -0.0]])
    ones = np.ones_like(zeros)
    assert not ops.relu_backward(ones, ops.relu(zeros)).any()
    assert not ops.l1_backward(np.zeros_like(zeros), zeros, 1.0).any()
