"""The compiled engine: the source of ``network`` and ``layers``, compiled by Numba and run on several threads."""

import platform
import warnings

from numba import config

from ..kernels.simd import cpu_features

if config.DISABLE_JIT:
    raise RuntimeError("engine='numba' needs the compiler, which NUMBA_DISABLE_JIT switches off: engine='numpy' runs the same "
                       "formulas in plain Python, and the kernels can be called by hand")

if platform.machine().lower() in ("x86_64", "amd64") and "+fma" not in cpu_features().split(","):
    warnings.warn("this CPU, as Numba sees it, has no fused multiply-add (FMA): engine='numba' is tens of times slower without, "
                  "and its results may differ in their last bits from those on other CPUs; engine='numpy' does not need it",
                  RuntimeWarning, stacklevel=2)

from .driver import evaluate, predict, train  # noqa: E402

__all__ = ["evaluate", "predict", "train"]
