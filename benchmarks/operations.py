"""The other operations, one by one: elements per second, compiled and as NumPy does them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ae_scratch.engine import steps
from ae_scratch.kernels import elementwise
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.inner import OPTIONS

from .alone import timed

ROWS, COLUMNS = 32, 784  # a batch of the job


def measure(threads: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Billions of elements a second of each operation, repeated, by "ours" and "numpy"; results are compared first."""
    rng = np.random.default_rng(0)
    X, T, out = rng.normal(0, 2, (ROWS, COLUMNS)).astype(np.float32), rng.random((ROWS, COLUMNS), np.float32), None
    out = np.zeros_like(X)
    measured = {name: both(map_of(getattr(elementwise, name)), numpy_map(formula), (np.abs(X) if name == "log1p" else X, out),
                           seconds) for name, formula in FORMULAS.items()}
    pairs = {"relu": (ops.relu, (X, out)), "cross_entropy": (ops.cross_entropy, (X, T, 1.0, np.zeros(ROWS, np.float32), out)),
             "adam": (ops.adam, (*vectors(rng, 4), 1e-3, 0.9, 0.999, 1e-8, 0.5, 0.5)),
             "sgd": (ops.sgd, (*vectors(rng, 3), 1e-3, 0.9))}
    for name, (operation, arguments) in pairs.items():
        measured[name] = both(compiled(operation, len(arguments)), by_hand(operation), arguments, seconds)
    data, order = rng.random((60 * ROWS, COLUMNS), np.float32), rng.permutation(60 * ROWS)[:ROWS]
    measured["gather"] = both(gather, numpy_gather, (data, order, out), seconds)
    return measured


def softplus(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, np.float32(0), out=out)


FORMULAS = {"exp": np.exp, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": ops.sigmoid, "softplus": softplus}


def both(ours: Any, numpy: Any, arguments: tuple[Any, ...], seconds: float) -> dict[str, list[float]]:
    """Check that both do the same to fresh copies of the arguments, then time them."""
    results = []
    for function in (ours, numpy):
        own = tuple(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments)
        function(*own, 1)
        results.append([a for a in own if isinstance(a, np.ndarray)])
    for got, expected in zip(*results):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    elements = (arguments[-1] if isinstance(arguments[-1], np.ndarray) else arguments[0]).size
    return {name: [elements / took / 1e9 for took in timed(function, [arguments], seconds)]
            for name, function in (("ours", ours), ("numpy", numpy))}


def map_of(function: Any) -> Any:
    """The function of one number, applied to a matrix so many times over."""
    @njit(**OPTIONS)
    def repeated(X, out, times):
        for _ in range(times):
            for i in range(X.shape[0]):
                for j in range(X.shape[1]):
                    out[i, j] = function(X[i, j])
    return repeated


def numpy_map(formula: Any) -> Any:
    def repeated(X, out, times):
        for _ in range(times):
            formula(X, out=out)
    return repeated


def compiled(operation: Any, count: int) -> Any:
    """An operation of the vocabulary, compiled, so many times over; Numba wants to see how many arguments there are."""
    def of_2(a, b, times):
        for _ in range(times):
            operation(a, b)

    def of_4(a, b, c, d, times):
        for _ in range(times):
            operation(a, b, c, d)

    def of_5(a, b, c, d, e, times):
        for _ in range(times):
            operation(a, b, c, d, e)

    def of_10(a, b, c, d, e, f, g, h, i, j, times):
        for _ in range(times):
            operation(a, b, c, d, e, f, g, h, i, j)
    return njit(**OPTIONS)({2: of_2, 4: of_4, 5: of_5, 10: of_10}[count])


def by_hand(operation: Any) -> Any:
    def repeated(*arguments):
        for _ in range(arguments[-1]):
            operation(*arguments[:-1])
    return repeated


@njit(**OPTIONS)
def gather(data, order, out, times):
    for _ in range(times):
        steps.gather(data, None, order, 0, out)


def numpy_gather(data, order, out, times):
    for _ in range(times):
        np.take(data, order, axis=0, out=out, mode="clip")


def vectors(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """As many parameters as the first layer has, a gradient and moments for them."""
    return [rng.random(100_352, np.float32) + np.float32(0.1) for _ in range(count)]
