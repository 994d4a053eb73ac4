"""The compiled engine: the source of ``network`` and ``layers``, compiled by Numba and run on several threads."""

from numba import config

if config.DISABLE_JIT:
    raise RuntimeError("engine='numba' needs the compiler, which NUMBA_DISABLE_JIT switches off: engine='numpy' runs the same "
                       "formulas in plain Python, and the kernels can be called by hand")

from .driver import evaluate, predict, train  # noqa: E402

__all__ = ["evaluate", "predict", "train"]
