"""What this machine can do at most: arithmetic from registers, bandwidth of every cache and of memory, divisions and roots.

Measured by compiled loops of our own, and from these the time that an epoch cannot be expected to beat: its floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ae_scratch.kernels import compiled  # noqa: F401  teaches Numba the operations
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.inner import OPTIONS
from ae_scratch.kernels.memory import aligned_zeros
from ae_scratch.kernels.simd import cpu_features, fma, lanes, load, store

from .alone import timed
from .machine import cache_sizes

STREAMS = {"read": 1, "copy": 2, "update": 2}  # how often each byte passes
ADAM_BYTES = 28  # per parameter: four numbers read, three written


@njit(**OPTIONS)
def chains_of_6(A, times):
    """Six independent sums of vectors: with two AVX registers each and the operands they fill the 16 there are."""
    a, b = load(A, 0, 0), load(A, 1, 0)
    s0, s1, s2, s3, s4, s5 = a, a, a, a, a, a
    for _ in range(times):
        s0, s1, s2 = fma(a, b, s0), fma(a, b, s1), fma(a, b, s2)
        s3, s4, s5 = fma(a, b, s3), fma(a, b, s4), fma(a, b, s5)
    store(s0 + s1 + s2 + s3 + s4 + s5, A, 2, 0)


@njit(**OPTIONS)
def chains_of_12(A, times):
    """Twelve of them, for the 32 registers of AVX-512 with two multiply-adds a cycle, each of which takes four."""
    a, b = load(A, 0, 0), load(A, 1, 0)
    s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb = a, a, a, a, a, a, a, a, a, a, a, a
    for _ in range(times):
        s0, s1, s2, s3 = fma(a, b, s0), fma(a, b, s1), fma(a, b, s2), fma(a, b, s3)
        s4, s5, s6, s7 = fma(a, b, s4), fma(a, b, s5), fma(a, b, s6), fma(a, b, s7)
        s8, s9, sa, sb = fma(a, b, s8), fma(a, b, s9), fma(a, b, sa), fma(a, b, sb)
    store(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + sa + sb, A, 2, 0)


@njit(**OPTIONS)
def read(x, y, times):
    """Add up integers, whose order the compiler may choose."""
    total = 0
    for _ in range(times):
        for i in range(x.size):
            total += x[i]
        x[0] = total


@njit(**OPTIONS)
def copy(x, y, times):
    """From one array to another."""
    for n in range(times):
        for i in range(x.size):
            y[i] = x[i]
        x[0] = n


@njit(**OPTIONS)
def update(x, y, times):
    """Every number is read, changed and written back."""
    for n in range(times):
        for i in range(x.size):
            x[i] += n


@njit(**OPTIONS)
def root_and_quotient(x, y, times):
    """What Adam needs of each parameter beside multiplications."""
    eps = np.float32(1e-8)
    for _ in range(times):
        for i in range(x.size):
            y[i] = x[i] / (np.sqrt(y[i]) + eps)


@njit(**OPTIONS)
def cross_entropy(Z, T, rows, D, times):
    """The loss and its gradient as our own kernel computes them."""
    for _ in range(times):
        ops.cross_entropy(Z, T, 1.0, rows, D)


def measure(threads: int, seconds: float, largest: int = 1 << 28) -> dict[str, Any]:
    """Repeated measurements of each limit on so many threads at once: GFLOP/s, GB/s, and billions of elements a second."""
    return {"fma": peak(threads, seconds), "bandwidth": bandwidths(threads, seconds, largest),
            "root and quotient": rate(root_and_quotient, [(floats(2048), floats(2048)) for _ in range(threads)], 2048, seconds),
            "cross_entropy": rate(cross_entropy, [loss_arrays(16, 784) for _ in range(threads)], 16 * 784, seconds)}


def peak(threads: int, seconds: float) -> list[float]:
    """GFLOP/s from registers."""
    chains, count = (chains_of_12, 12) if "+avx512f" in cpu_features() else (chains_of_6, 6)
    width = lanes(np.zeros(0, np.float32))
    return rate(chains, [(floats(3 * width).reshape(3, width),) for _ in range(threads)], 2 * count * width, seconds)


def bandwidths(threads: int, seconds: float, largest: int) -> dict[str, dict[str, list[float]]]:
    """GB/s, read and written bytes added, of data that fill half of each cache (of L3, an eighth), or none."""
    caches = cache_sizes()
    sizes = {"L1": caches["L1"] // 2, "L2": caches["L2"] // 2, "L3": caches["L3"] // 8 // threads,
             "memory": max(4 * caches["L3"], largest) // threads}
    return {place: {name: rate(stream, [integers(min(size, largest)) for _ in range(threads)],
                               STREAMS[name] * min(size, largest) // (2 if name == "copy" else 1), seconds)
                    for name, stream in (("read", read), ("copy", halves(copy)), ("update", update))}
            for place, size in sizes.items()}


def halves(stream: Any) -> Any:
    """A copy goes from the first half of the data to the second."""
    def copied(x, y, times):
        stream(x[:x.size // 2], x[x.size // 2:], times)
    return copied


def rate(function: Any, calls: list[Any], amount: float, seconds: float) -> list[float]:
    """Billions a second that all threads get through, each ``amount`` at a time."""
    return [len(calls) * amount / took / 1e9 for took in timed(function, calls, seconds)]


def floats(count: int) -> np.ndarray:
    """Numbers near 1, aligned."""
    x = aligned_zeros(count, np.float32)
    x[:] = 1 + np.arange(count) / count
    return x


def integers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """So many bytes of integers, and nothing."""
    return aligned_zeros(size // 8, np.int64), np.zeros(0, np.int64)


def loss_arrays(rows: int, columns: int) -> tuple[np.ndarray, ...]:
    """Logits, targets, and room for losses and gradient."""
    Z, T, D = (floats(rows * columns).reshape(rows, columns) for _ in range(3))
    return 4 * Z - 6, T - 1, np.zeros(rows, np.float32), D


def floor(limits: dict[str, Any], flops: float, parameters: int, steps: int, outputs: int) -> dict[str, float]:
    """Seconds an epoch takes at least, part by part: products at the peak, Adam at the slower of its arithmetic and its
    traffic from the L3 cache, the loss as fast as our own kernel; each the best that was measured."""
    updates = parameters * steps / 1e9
    adam = max(updates / max(limits["root and quotient"]), ADAM_BYTES * updates / max(limits["bandwidth"]["L3"]["update"]))
    parts = {"products": flops / 1e9 / max(limits["fma"]), "adam": adam, "loss": outputs / 1e9 / max(limits["cross_entropy"])}
    return {**parts, "total": sum(parts.values())}
