"""The compiled gradient in float32 against that in float64: entry by entry within what rounding can do to it."""

import compiled_case
import numpy as np
import pytest
from cases import Case

from ae_scratch.network import backward, forward

SETTINGS = dict(activation=["tanh", "sigmoid", "tanh"], loss="binary_crossentropy", lam=1e-3, reduction="mean", code=2,
                weight_decay=0.01, kl=(0.1, 0.05), tied=True)
WIDTHS = 15, 16, 17, 31, 32, 33, 47, 61


class Pair:
    """A case whose numbers are all float32, and the same in float32."""

    def __init__(self, seed):
        n, hidden, code = (int(n) for n in np.random.default_rng(seed).choice(WIDTHS, 3))
        self.double, self.single = (Case(seed, (n, hidden, code, hidden, n), **SETTINGS) for _ in range(2))
        for case in (self.double, self.single):
            case.network.params.vector[:] = np.float32(case.network.params.vector)
            case.X, case.T = (np.float32(array) for array in (case.X, case.T))
            for _, *arrays in case.model:
                for array in arrays:
                    if isinstance(array, np.ndarray):
                        array[...] = np.complex64(array)
        self.single.network = self.single.network.astype(np.float32)
        self.double.X, self.double.T = np.float64(self.double.X), np.float64(self.double.T)
        self.bounds = self.double.rounding_errors(np.float32, units=1)

    def violations(self, exact, found):
        """How many entries are off by more than one unit of rounding, of float32, for the sizes that they are made of: that many
        errors of either sign hardly ever add up, which 32 units would allow for.
        """
        return sum(int((~(np.abs(exact[name] - found[name]) <= self.bounds[name])).sum()) for name in exact)


@pytest.mark.parametrize("entries", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_G5_the_compiled_gradient_in_float32_is_within_its_rounding_of_that_in_float64(entries):
    seen = seed = 0
    while seen < entries:
        pair = Pair(seed)
        exact = pair.double.analytic()  # which the complex step holds, and with it float64 compiled
        found = compiled_case.gradients(pair.single)
        assert all(array.dtype == np.float32 for array in found.values())
        assert pair.violations(exact, found) == 0, seed
        seen, seed = seen + sum(map(np.size, exact.values())), seed + 1


def weight_gradient(pair, rows, accumulate):
    """dW of the first layer in float32, from some rows of the batch, by some way to add up."""
    network, X = pair.single.network, pair.single.X
    A = network.activations(X)
    forward(network.layers, A)
    dA = [np.empty_like(a) for a in A[:-1]] + [pair.single.loss.backward(pair.single.loss.forward(A[-1], pair.single.T)[1])]
    backward(network.layers, A, dA, 1)
    own = accumulate(X[:rows], dA[1][:rows])
    home = accumulate(dA[-1][:rows], A[-2][:rows])  # the tied layer's path
    return own + home + np.float32(SETTINGS["weight_decay"]) * network.layers[0].W


def in_float32(A, B):
    return A.T @ B


def in_float16(A, B):
    total = np.zeros((A.shape[1], B.shape[1]), np.float16)
    for a, b in zip(A, B):
        total += np.float16(a[:, None] * b)
    return np.float32(total)


@pytest.mark.parametrize("seed", range(3))
def test_G5_float16_or_a_lost_row_would_be_seen(seed):
    pair = Pair(seed)
    exact, rows = {"0.W": pair.double.analytic()["0.W"]}, len(pair.single.X)
    assert pair.violations(exact, {"0.W": weight_gradient(pair, rows, in_float32)}) == 0
    assert pair.violations(exact, {"0.W": weight_gradient(pair, rows, in_float16)}) > 0.05 * exact["0.W"].size
    assert pair.violations(exact, {"0.W": weight_gradient(pair, rows - 1, in_float32)}) > 0.1 * exact["0.W"].size
