"""Random numbers by address: a number depends on (seed, purpose, epoch, sample, index) and on nothing else.

Not on how many were drawn before, nor on batches, threads or the version of NumPy: the noise on pixel 40 of sample 7 in epoch
3 is the same wherever and whenever it is computed. The generator is Philox-4x32-10 (Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3", SC 2011): ten rounds of multiply and xor that scramble a counter under a key.
"""

from __future__ import annotations

import numpy as np

WEIGHTS, SHUFFLE, NOISE, DATA = range(4)  # purposes: the second word of the key

MASK = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
LN_2 = 0.6931471805599453
BLOCK = 1 << 15  # numbers made at a time: what stays in the cache


def philox4x32(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return four random 32-bit words per counter, each in a uint64 array.

    counter: four uint64 arrays of values below 2^32 that broadcast to one shape; key: two integers below 2^32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # 32 x 32 -> 64 bits
        c0, c1 = (p1 >> HALF) ^ c1 ^ np.uint64(k0), p1 & MASK
        c2, c3 = (p0 >> HALF) ^ c3 ^ np.uint64(k1), p0 & MASK
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def bits(seed: int, purpose: int, epoch: int, samples: np.ndarray, n: int) -> np.ndarray:
    """Return n random 32-bit numbers per sample: uint32, shape (len(samples), n)."""
    samples = np.asarray(samples, np.uint64)[:, None]
    block = np.arange(-(-n // 4), dtype=np.uint64)[None, :]
    counter = (block, samples & MASK, samples >> HALF, np.full((1, 1), epoch, np.uint64))
    words = philox4x32(counter, (seed, purpose))
    return np.stack(words, axis=-1).astype(np.uint32).reshape(len(samples), -1)[:, :n]


def uniform(seed: int, purpose: int, epoch: int, samples: np.ndarray, n: int) -> np.ndarray:
    """Return n numbers per sample, uniform in the open interval (0, 1): float64, u = (bits + 1/2) / 2^32."""
    return (bits(seed, purpose, epoch, samples, n) + 0.5) * 2.0**-32


def normal(seed: int, purpose: int, epoch: int, samples: np.ndarray, n: int) -> np.ndarray:
    """Return n standard normal numbers per sample, float32: the normal quantile of each uniform number."""
    samples = np.asarray(samples)
    out = np.empty((len(samples), n), np.float32)
    rows = max(1, BLOCK // max(n, 1))
    for start in range(0, len(samples), rows):
        part = samples[start:start + rows]
        out[start:start + rows] = normal_quantile(uniform(seed, purpose, epoch, part, n))
    return out


def add_noise(X: np.ndarray, sigma: float, low: float, high: float, seed: int, epoch: int, rows: np.ndarray,
              out: np.ndarray | None = None) -> np.ndarray:
    """Return X + sigma N(0, 1), clipped to [low, high]: float32 noise on X (N, n) of either precision, or fill ``out``.

    rows: the samples that the rows of X are (N,). With the epoch they are the address of their noise.
    """
    noisy = np.add(X, np.asarray(sigma * normal(seed, NOISE, epoch, rows, X.shape[1]), X.dtype), out=out)
    return np.clip(noisy, low, high, out=noisy)


def replace(X: np.ndarray, fraction: float, low: float, high: float, seed: int, epoch: int, rows: np.ndarray,
            out: np.ndarray | None = None) -> np.ndarray:
    """Return X with each number replaced by ``low`` or by ``high``, with probability fraction / 2 each, or fill ``out``.

    rows: as for ``add_noise``.
    """
    out = np.empty_like(X) if out is None else out
    step = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        u = uniform(seed, NOISE, epoch, rows[part], X.shape[1])
        out[part] = np.where(u < fraction / 2, X.dtype.type(low), np.where(u < fraction, X.dtype.type(high), X[part]))
    return out


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the order of the n samples in an epoch, int64: sort them by a random number each.

    The sample's index fills the lower half of its sort key, so no two keys are equal and any sorting algorithm gives the same
    order.
    """
    if n >= 1 << 32:
        raise ValueError(f"expected fewer than 2**32 samples, got {n}")
    keys = bits(seed, SHUFFLE, epoch, np.zeros(1), n)[0].astype(np.uint64) << HALF
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    return (keys & MASK).astype(np.int64)


def normal_quantile(u: np.ndarray) -> np.ndarray:
    """Return z with Phi(z) = u for u in [2^-33, 1 - 2^-33], float64: Wichura's PPND7 (Algorithm AS 241, 1988), error below 1e-6.

    Only + - * / and sqrt, which every machine rounds alike, and a logarithm made of them: the same bits everywhere. The branch of
    AS 241 for u below exp(-25) is left out: no 32-bit u gets there.
    """
    q = u - 0.5
    z = central(q)
    outer = np.abs(q) > 0.425
    z[outer] = np.copysign(tail(np.sqrt(-log(np.minimum(u[outer], 1.0 - u[outer])))), q[outer])
    return z


def central(q: np.ndarray) -> np.ndarray:
    """Return z with Phi(z) = 1/2 + q, for |q| <= 0.425."""
    r = 0.180625 - q * q
    return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) / (
        ((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)


def tail(root: np.ndarray) -> np.ndarray:
    """Return z > 0 with Phi(-z) = exp(-root^2), for less than 0.075."""
    r = root - 1.6
    return (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) / (
        (0.12021132975 * r + 0.73700164250) * r + 1.0)


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of positive float64 x, within 4e-16 |log x| + 4e-16, by + - * / alone.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)), log x = e log 2 + log m.
    """
    m, e = np.frexp(x)
    low = m < 0.7071067811865476
    return (e - low) * LN_2 + log_near_1(np.where(low, m + m, m))


def log_near_1(m: np.ndarray) -> np.ndarray:
    """Return log m = 2 (s + s^3/3 + s^5/5 + ...) with s = (m - 1) / (m + 1), for m in [sqrt(1/2), sqrt(2))."""
    s = (m - 1.0) / (m + 1.0)
    square, series = s * s, 0.0 * s
    for k in range(21, 0, -2):
        series = series * square + 1.0 / k
    return 2.0 * s * series


class Stream:
    """Successive uniform draws for initial weights; stands in for ``numpy.random.Generator`` wherever a layer takes ``rng``.

    >>> rng = Stream(seed=0)
    >>> first, second = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, (3, 2))
    >>> bool((first == second).any()), bool((first == Stream(0).uniform(-1, 1, (3, 2))).all())
    (False, True)
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.draws = 0

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        """Return uniform numbers in (low, high), float64, of the given shape."""
        count = int(np.prod(size, dtype=np.int64))
        u = uniform(self.seed, WEIGHTS, self.draws, np.zeros(1), count)
        self.draws += 1
        return (low + (high - low) * u).reshape(size)
