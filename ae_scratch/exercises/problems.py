"""What the exercises are asked about, the answers, which the library's layers give, and what common mistakes would answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..kernels.reference import Array
from ..layers import Dense, ReLU, Sigmoid, Tanh, TiedDense
from ..losses import BinaryCrossEntropy, Loss, MeanSquaredError
from ..network import Network
from ..penalties import KLActivity, L1Activity

Answer = tuple[Array, dict[str, Array]]  # what is right; what is wrong, by the hint that goes with it
Steps = dict[str, tuple[str, Callable[[Array], Answer]]]  # of which answer another one is made, and how
ROWS, UNITS = 5, 4
TRANSPOSE = "a transpose is missing: dX = dY W^T, whose sum runs over the outputs"
ADDED = "only the penalty's own gradient: the one that comes in, dY, is to be passed on as well"
MISSING = "the penalty's share is missing"
NOT_DCODE = "dz1 belongs here, not dcode"
NO_MEAN = "the penalty is a mean over rows: 1/N is missing"


class Problem(NamedTuple):
    """A function to write, what it is called with, the answers by name, and which of them are made of which."""

    function: str
    arguments: tuple[Any, ...]
    answers: dict[str, Answer]
    steps: Steps = {}


def problems() -> list[Problem]:
    """Return all of them, always the same."""
    rng = np.random.default_rng(7)
    return [_affine(rng), *_activations(rng), _loss(rng, "squared_error", MeanSquaredError()),
            _loss(rng, "cross_entropy", BinaryCrossEntropy()), _l1(rng), _kl(rng), _tied(rng), _autoencoder(rng)]


def _dense(rng: np.random.Generator, n_in: int, n_out: int) -> Dense:
    layer = Dense(n_in, n_out, rng, np.float64)
    layer.b += rng.normal(scale=0.3, size=n_out)
    return layer


def _affine(rng: np.random.Generator) -> Problem:
    layer = _dense(rng, UNITS, UNITS)  # square: a missing transpose fits
    X, dY = rng.normal(size=(ROWS, UNITS)), rng.normal(size=(ROWS, UNITS))
    dX, grads = layer.backward(dY, layer.forward(X)[1])
    return Problem("affine_backward", (dY, X, layer.W), {"dX": (dX, {TRANSPOSE: dY @ layer.W}), "dW": (grads["W"], {}),
                                                         "db": (grads["b"], {})})


def _activations(rng: np.random.Generator) -> list[Problem]:
    X, dY = rng.normal(size=(ROWS, UNITS)), rng.normal(size=(ROWS, UNITS))
    found = []
    for layer in ReLU(), Sigmoid(), Tanh():
        Y = layer.forward(X)[0]
        dX = layer.input_gradient(dY, X, Y)
        slope = layer.input_gradient(np.ones_like(dY), X, Y)
        wrong = {"this is the function's own derivative: the chain rule multiplies it with dY": slope,
                 "the derivative is written with the output: Y is f(x) already": layer.input_gradient(dY, Y, layer.forward(Y)[0])}
        if isinstance(layer, Sigmoid):
            wrong["the factor 1 - Y is missing: sigmoid' = Y (1 - Y)"] = dY * Y
        if isinstance(layer, Tanh):
            wrong["the square is missing: tanh' = 1 - Y^2"] = dY * (1 - Y)
        if isinstance(layer, ReLU):
            wrong["the slope is 1 where Y > 0, not Y itself"] = dY * Y
        found.append(Problem(f"{type(layer).__name__.lower()}_backward", (dY, Y), {"dX": (dX, wrong)}))
    return found


def _loss(rng: np.random.Generator, name: str, loss: Loss) -> Problem:
    Y, T = rng.normal(size=(ROWS, UNITS)), rng.uniform(size=(ROWS, UNITS))
    D = loss.forward(Y, T)[1]
    P = D + T
    wrong = {"the loss is a mean over rows and features: 1 / (N n) is missing": loss.slope * D,
             "1/N is missing: the loss is a mean over rows as well as over features": loss.slope * D / D.shape[1],
             "the mean is over features as well as rows: 1/n is missing": loss.slope * D / len(D)}
    if isinstance(loss, BinaryCrossEntropy):
        wrong["Z comes before the sigmoid: the reconstruction is P = sigmoid(Z)"] = (Y - T) / D.size
        wrong["the derivative of the sigmoid cancels that of the logarithms: P - T is all there is"] = D * P * (1 - P) / D.size
    else:
        wrong["the derivative of a square has a factor 2"] = D / D.size
    return Problem(f"{name}_backward", (Y, T), {"dZ" if "entropy" in name else "dY": (loss.backward(D), wrong)})


def _l1(rng: np.random.Generator) -> Problem:
    A, dY, lam = np.maximum(rng.normal(size=(ROWS, UNITS)), 0), rng.normal(size=(ROWS, UNITS)), 0.3
    dA = L1Activity(lam).input_gradient(dY, A, A)
    wrong = {ADDED: dA - dY, MISSING: dY, NO_MEAN: dY + lam * np.sign(A),
             "|a| has the derivative 0 at 0, by convention: take the sign": dY + lam / ROWS}
    return Problem("l1_backward", (dY, A, lam), {"dA": (dA, wrong)})


def _kl(rng: np.random.Generator) -> Problem:
    A, dY, beta, rho = rng.uniform(0.1, 0.9, (ROWS, UNITS)), rng.normal(size=(ROWS, UNITS)), 0.5, 0.2
    dA = KLActivity(beta, rho).input_gradient(dY, A, A)
    wrong = {ADDED: dA - dY, MISSING: dY, NO_MEAN: dY + ROWS * (dA - dY), "the sign of the penalty's share is wrong": 2 * dY - dA,
             "m is the mean over the batch, not each row's own activation":
             dY + beta / ROWS * ((1 - rho) / (1 - A) - rho / A)}
    return Problem("kl_backward", (dY, A, beta, rho), {"dA": (dA, wrong)})


def _tied(rng: np.random.Generator) -> Problem:
    there = _dense(rng, UNITS, UNITS - 1)
    network = Network([there, TiedDense(there)])
    X, dY = rng.normal(size=(ROWS, UNITS)), rng.normal(size=(ROWS, UNITS))
    cache = network.forward(X)[1]
    dW, db1, db2 = network.backward(dY, cache)[1].values()
    decoder = dY.T @ cache[1]
    wrong = {"W is used twice: the decoder's share is missing": dW - decoder,
             "W is used twice: the encoder's share is missing": decoder}
    return Problem("tied_backward", (dY, X, there.W, cache[1]), {"dW": (dW, wrong), "db1": (db1, {}), "db2": (db2, {})})


def _autoencoder(rng: np.random.Generator) -> Problem:
    lam, loss = 0.2, BinaryCrossEntropy()
    one, two = _dense(rng, UNITS, UNITS), _dense(rng, UNITS, UNITS)
    penalty, relu = L1Activity(lam), ReLU()
    X = rng.uniform(size=(ROWS, UNITS))
    z1 = one.forward(X)[0]
    code = relu.forward(z1)[0]
    logits = two.forward(code)[0]
    dlogits = loss.backward(loss.forward(logits, X)[1])
    answers: dict[str, Answer] = {
        "dlogits": (dlogits, {"the derivative of the sigmoid cancels that of the logarithms": dlogits * _slope(logits)})}

    def into_code(d: Array) -> Answer:
        passed = two.input_gradient(d, code, logits)
        wrong = {MISSING: passed, TRANSPOSE: penalty.input_gradient(d @ two.W, code, code)}
        return penalty.input_gradient(passed, code, code), wrong

    steps: Steps = {
        "dW2": ("dlogits", lambda d: (two.parameter_gradients(d, code)[0], {})),
        "db2": ("dlogits", lambda d: (two.parameter_gradients(d, code)[1], {})),
        "dcode": ("dlogits", into_code),
        "dz1": ("dcode", lambda d: (relu.input_gradient(d, z1, code), {})),
        "dW1": ("dz1", lambda d: (one.parameter_gradients(d, X)[0], {NOT_DCODE: X.T @ answers["dcode"][0]})),
        "db1": ("dz1", lambda d: (one.parameter_gradients(d, X)[1], {NOT_DCODE: answers["dcode"][0].sum(axis=0)}))}
    for name, (source, step) in steps.items():
        answers[name] = step(answers[source][0])
    return Problem("autoencoder_backward", (X, one.W, two.W, lam, z1, code, logits), answers, steps)


def _slope(Z: Array) -> Array:
    """The sigmoid's derivative."""
    return Sigmoid().input_gradient(np.ones_like(Z), Z, Sigmoid().forward(Z)[0])
