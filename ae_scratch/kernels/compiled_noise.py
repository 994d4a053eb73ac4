"""How Numba compiles ``philox.add_noise`` and ``philox.replace``: the bits that NumPy makes, a dozen times as fast.

The arithmetic is that of ``philox``, operation by operation. It is cut into loops without a branch, which the compiler turns
into vectors: the words of a row, the central branch of the normal quantile for all of them, the outer one for the few that
need it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import philox
from .compiled import compiles, jit, log
from .inner import COUNTED
from .philox import HALF, MASK, MULTIPLIERS

# All of them uint64: with a Python integer, which is int64, Numba would go on in float64.
FIRST, SECOND = MULTIPLIERS
FIRST_STEP, SECOND_STEP = map(np.uint64, philox.KEY_STEPS)
PURPOSE = np.uint64(philox.NOISE)

central, tail = map(jit, (philox.central, philox.tail))


@jit
def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """``philox.philox4x32`` of one counter; a function of its own, that its rounds be unrolled before ``draw`` is compiled."""
    for _ in range(10):
        p0, p1 = c0 * FIRST, c2 * SECOND
        c0, c1 = (p1 >> HALF) ^ c1 ^ k0, p1 & MASK
        c2, c3 = (p0 >> HALF) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + FIRST_STEP) & MASK, (k1 + SECOND_STEP) & MASK
    return c0, c1, c2, c3


@jit
def draw(words: Any, sample: Any, epoch: Any, seed: Any) -> None:
    """The words of ``philox.bits`` for one sample, up to a multiple of four."""
    for n in range(words.size // 4):
        c0, c1, c2, c3 = philox4x32(np.uint64(n), sample & MASK, sample >> HALF, epoch, seed, PURPOSE)
        words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3] = c0, c1, c2, c3


@jit
def uniform(word: Any) -> Any:
    """The number in (0, 1) that a word stands for."""
    return (word + 0.5) * 2.0**-32


@jit
def outer(u: Any) -> Any:
    """The normal quantile for |u - 1/2| > 0.425."""
    opposite = 1.0 - u
    z = tail(np.sqrt(-log(opposite if opposite < u else u)))
    return -z if u < 0.5 else z


@jit
def quantiles(words: Any, z: Any, extremes: Any, places: Any) -> None:
    """z = the normal quantile of the number of each word. extremes, places: room for those of the outer branch."""
    for j in range(z.size):
        z[j] = central(uniform(words[j]) - 0.5)
    count = 0
    for j in range(z.size):
        u = uniform(words[j])
        extremes[count], places[count] = u, j  # overwritten unless counted: a branch would be one the CPU cannot foresee
        count += abs(u - 0.5) > 0.425
    for k in range(count):
        extremes[k] = outer(extremes[k])
    for k in range(count):
        z[places[k]] = extremes[k]


@compiles(philox.add_noise, COUNTED)
def _add_noise(X, sigma, low, high, seed, epoch, rows, out=None):
    def add_noise(X, sigma, low, high, seed, epoch, rows, out=None):
        number, n = X.dtype.type, X.shape[1]
        s, least, most = np.float32(sigma), number(low), number(high)
        words, places = np.empty(-(-n // 4) * 4, np.uint32), np.empty(n, np.int32)
        z, extremes = np.empty(n), np.empty(n)
        for i in range(X.shape[0]):
            draw(words, np.uint64(rows[i]), np.uint64(epoch), np.uint64(seed))
            quantiles(words, z, extremes, places)
            for j in range(n):
                x = X[i, j] + number(s * np.float32(z[j]))
                x = least if x < least else x
                out[i, j] = most if x > most else x
    return add_noise


@compiles(philox.replace, COUNTED)
def _replace(X, fraction, low, high, seed, epoch, rows, out=None):
    def replace(X, fraction, low, high, seed, epoch, rows, out=None):
        number, n, half = X.dtype.type, X.shape[1], fraction / 2
        least, most, words = number(low), number(high), np.empty(-(-n // 4) * 4, np.uint32)
        for i in range(X.shape[0]):
            draw(words, np.uint64(rows[i]), np.uint64(epoch), np.uint64(seed))
            for j in range(n):
                u = uniform(words[j])
                out[i, j] = least if u < half else most if u < fraction else X[i, j]
    return replace
