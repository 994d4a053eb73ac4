"""Noise for denoising autoencoders: a corrupted copy of the input, while the target stays clean."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .inputs import number, whole
from .kernels import philox
from .kernels.reference import Array

REDRAW = ("batch", "once")


class Added(NamedTuple):
    """What ``philox.add_noise`` takes beside the data."""

    sigma: float
    low: float
    high: float
    seed: int
    epoch: int  # whose noise it is


class Replaced(NamedTuple):
    """What ``philox.replace`` takes beside the data."""

    fraction: float
    low: float
    high: float
    seed: int
    epoch: int  # whose noise it is


class Noise:
    """What all noises share: the noise on a number depends on the seed, the epoch, its row and its column alone.

    redraw: ``"batch"`` draws new noise whenever a sample is used, so that no epoch sees the same noise again; ``"once"``
    draws it once before training, as the article does.
    """

    def __init__(self, redraw: str):
        if redraw not in REDRAW:
            raise ValueError(f"expected redraw 'batch' or 'once', got {redraw!r}")
        self.redraw = redraw

    def corrupt(self, X: Array, seed: int, epoch: int = 0, rows: Array | None = None) -> Array:
        """Return a noisy copy of X (N, n), of X's dtype.

        rows: the numbers of X's rows in the data set (N,), 0 to N - 1 by default. ``redraw="once"`` has the noise of epoch 0
        in every epoch.
        """
        if X.dtype.kind != "f":
            raise TypeError(f"expected X of floating-point numbers, got {X.dtype}: whole numbers cannot hold the noise")
        whole(seed, "seed", 0, 2**32 - 1)
        rows, settings = np.arange(len(X)) if rows is None else rows, self.settings(seed, epoch)
        if isinstance(settings, Added):
            return philox.add_noise(X, *settings, rows)
        return philox.replace(X, *settings, rows)

    def settings(self, seed: int, epoch: int) -> Added | Replaced:
        """Return what makes this noise in an epoch."""
        raise TypeError(f"{type(self).__name__} defines no settings")

    def _epoch(self, epoch: int) -> int:
        """The epoch whose noise an epoch has."""
        return 0 if self.redraw == "once" else epoch


class GaussianNoise(Noise):
    """X + sigma N(0, 1), then clipped to the interval ``clip`` if one is given.

    redraw: ``"batch"`` for new noise whenever a sample is used, ``"once"`` for the same in every epoch.

    >>> noisy = GaussianNoise(0.4, clip=(0, 1)).corrupt(np.full((2, 3), 0.5, np.float32), seed=0)
    >>> noisy.shape, bool((noisy >= 0).all() and (noisy <= 1).all())
    ((2, 3), True)
    """

    def __init__(self, sigma: float, clip: tuple[float, float] | None = None, redraw: str = "batch"):
        super().__init__(redraw)
        if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
            raise ValueError(f"expected clip=(low, high) with low < high, or None, got {clip!r}")
        self.sigma, self.clip = number(sigma, "sigma"), clip

    def settings(self, seed: int, epoch: int) -> Added:
        low, high = map(float, self.clip or (-np.inf, np.inf))
        return Added(self.sigma, low, high, seed, self._epoch(epoch))

    def __repr__(self) -> str:
        return f"GaussianNoise({self.sigma:g}, clip={self.clip}, redraw={self.redraw!r})"


class SaltAndPepperNoise(Noise):
    """X with each number replaced by ``low`` or by ``high``, with probability ``fraction / 2`` each.

    redraw: ``"batch"`` for new noise whenever a sample is used, ``"once"`` for the same in every epoch.

    >>> noisy = SaltAndPepperNoise(0.5).corrupt(np.full((100, 30), 0.5, np.float32), seed=0)
    >>> [round(float((noisy == value).mean()), 2) for value in (0, 0.5, 1)]
    [0.26, 0.5, 0.24]
    """

    def __init__(self, fraction: float, low: float = 0, high: float = 1, redraw: str = "batch"):
        super().__init__(redraw)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"expected finite numbers low < high, got {low!r} and {high!r}")
        self.fraction, self.low, self.high = number(fraction, "fraction", below=1), low, high

    def settings(self, seed: int, epoch: int) -> Replaced:
        return Replaced(self.fraction, float(self.low), float(self.high), seed, self._epoch(epoch))

    def __repr__(self) -> str:
        return f"SaltAndPepperNoise({self.fraction:g}, low={self.low:g}, high={self.high:g}, redraw={self.redraw!r})"


class MaskingNoise(Noise):
    """X with each number replaced by 0 with probability ``fraction``: the noise of Vincent et al. 2008.

    redraw: ``"batch"`` for new noise whenever a sample is used, ``"once"`` for the same in every epoch.

    >>> noisy = MaskingNoise(0.25).corrupt(np.ones((100, 30), np.float32), seed=0)
    >>> round(float((noisy == 0).mean()), 2), float(noisy.max())
    (0.26, 1.0)
    """

    def __init__(self, fraction: float, redraw: str = "batch"):
        super().__init__(redraw)
        self.fraction = number(fraction, "fraction", below=1)

    def settings(self, seed: int, epoch: int) -> Replaced:
        return Replaced(self.fraction, 0.0, 0.0, seed, self._epoch(epoch))

    def __repr__(self) -> str:
        return f"MaskingNoise({self.fraction:g}, redraw={self.redraw!r})"
