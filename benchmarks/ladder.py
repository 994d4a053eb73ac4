"""The ladder of matrix products, step by step: the result is checked, then timed, on the shapes of the job and on large ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ae_scratch.kernels import matmul
from ae_scratch.kernels.inner import OPTIONS

from .alone import timed
from .roofline import peak

SHAPES = {"32 x 784 x 128": (32, 784, 128, False), "784 x 32 x 128, left one transposed": (784, 32, 128, True)}
TRANSPOSED = {"32 x 784 x 128, right one transposed": (32, 784, 128, False)}
SLOW = 3e10  # operations beyond which the steps that do not block would take minutes


def measure(threads: int, seconds: float, sizes: list[int]) -> dict[str, dict[str, dict[str, Any]]]:
    """For each shape m x k x n, and for cubes of the sizes: of every step GFLOP/s, repeated, and the peak at that time."""
    cubes = {f"{size} x {size} x {size}": (size, size, size, False) for size in sizes}
    up = sorted(name for name in dir(matmul) if name.startswith("matmul_") and name[7].isdigit())
    measured = {name: {step: run(step, *shape, seconds) for step in [*up, "numpy"]}
                for name, shape in {**SHAPES, **cubes}.items()}
    for name, shape in TRANSPOSED.items():
        measured[name] = {step: run(step, *shape, seconds) for step in ("matmul_transposed", "numpy_transposed")}
    return measured


def run(step: str, m: int, k: int, n: int, left_transposed: bool, seconds: float) -> dict[str, Any]:
    """GFLOP/s of one step on matrices of one shape and the machine's peak just then, for clocks vary; or an error."""
    if m * k * n > SLOW and step < "matmul_5":
        return {"error": "takes minutes"}
    rng = np.random.default_rng(0)
    A, B = rng.random((m, k), dtype=np.float32), rng.random((k, n), dtype=np.float32)
    if left_transposed:
        A = A.T.copy().T
    C, right = np.zeros((m, n), np.float32), B.T.copy() if step.endswith("transposed") else B
    repeated = repeat_of(step)
    repeated(A, right, C, 1)
    error = np.abs(C - A.astype(float) @ B).max() / k
    if not error < 1e-4:
        return {"error": f"wrong by {error:.1e}"}
    limit = max(peak(1, seconds / 4))
    return {"gflops": [2e-9 * m * k * n / took for took in timed(repeated, [(A, right, C)], seconds)],
            "peak": max(limit, *peak(1, seconds / 4))}


def repeat_of(step: str) -> Any:
    """A function that makes a product so many times over."""
    if step.startswith("numpy"):
        return numpy_transposed if step.endswith("transposed") else numpy_product
    kernel = njit(**OPTIONS)(getattr(matmul, step))

    @njit(**OPTIONS)
    def repeated(A, B, C, times):
        for _ in range(times):
            kernel(A, B, C)
    return repeated


def numpy_product(A: np.ndarray, B: np.ndarray, C: np.ndarray, times: int) -> None:
    for _ in range(times):
        np.matmul(A, B, out=C)


def numpy_transposed(A: np.ndarray, B: np.ndarray, C: np.ndarray, times: int) -> None:
    for _ in range(times):
        np.matmul(A, B.T, out=C)
