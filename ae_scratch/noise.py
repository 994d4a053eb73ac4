"""Noise for denoising autoencoders: a corrupted copy of the input, while the target stays clean."""

from __future__ import annotations

import numpy as np

from .inputs import number, whole
from .kernels import philox
from .kernels.reference import Array

REDRAW = ("batch", "once")


class GaussianNoise:
    """X + sigma N(0, 1), then clipped to the interval ``clip`` if one is given.

    redraw: ``"batch"`` draws new noise whenever a sample is used, so that no epoch sees the same noise again; ``"once"``
    draws it once before training, as the article does. The noise on a number depends on the seed, the epoch, its row and its
    column alone.

    >>> noisy = GaussianNoise(0.4, clip=(0, 1)).corrupt(np.full((2, 3), 0.5, np.float32), seed=0)
    >>> noisy.shape, bool((noisy >= 0).all() and (noisy <= 1).all())
    ((2, 3), True)
    """

    def __init__(self, sigma: float, clip: tuple[float, float] | None = None, redraw: str = "batch"):
        if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
            raise ValueError(f"expected clip=(low, high) with low < high, or None, got {clip!r}")
        if redraw not in REDRAW:
            raise ValueError(f"expected redraw 'batch' or 'once', got {redraw!r}")
        self.sigma, self.clip, self.redraw = number(sigma, "sigma"), clip, redraw

    def corrupt(self, X: Array, seed: int, epoch: int = 0, rows: Array | None = None) -> Array:
        """Return a noisy copy of X (N, n), of X's dtype.

        rows: the numbers of X's rows in the data set (N,), 0 to N - 1 by default. ``redraw="once"`` has the noise of epoch 0
        in every epoch.
        """
        if X.dtype.kind != "f":
            raise TypeError(f"expected X of floating-point numbers, got {X.dtype}: whole numbers cannot hold the noise")
        whole(seed, "seed", 0, 2**32 - 1)
        rows = np.arange(len(X)) if rows is None else rows
        return philox.add_noise(X, *self.settings(seed, epoch), rows)

    def settings(self, seed: int, epoch: int) -> tuple[float, float, float, int, int]:
        """Return what ``philox.add_noise`` takes: sigma, low, high, seed and the epoch whose noise it is."""
        low, high = map(float, self.clip or (-np.inf, np.inf))
        return self.sigma, low, high, seed, 0 if self.redraw == "once" else epoch

    def __repr__(self) -> str:
        return f"GaussianNoise({self.sigma:g}, clip={self.clip}, redraw={self.redraw!r})"
