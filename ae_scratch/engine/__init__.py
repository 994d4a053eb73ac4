"""The compiled engine: the source of ``network`` and ``layers``, compiled by Numba and run on several threads."""

from .driver import evaluate, predict, train

__all__ = ["evaluate", "predict", "train"]
