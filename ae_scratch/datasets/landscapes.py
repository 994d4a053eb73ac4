"""Small grey landscapes: pictures of anything but digits, to show what an autoencoder does with images it was not trained on.

A sky that brightens towards the horizon, a sun or moon, and three mountain ridges, the nearer the darker. A ridge is a line whose
midpoint is displaced at random, then the midpoints of its halves by half as much, and so on: a fractal (Fournier, Fussell and
Carpenter, "Computer rendering of stochastic models", 1982). Only + - * / and sqrt, element by element, which every machine rounds
alike: the same bytes everywhere.
"""

from __future__ import annotations

import numpy as np

from ..inputs import whole
from ..kernels import philox
from .digits import CHUNK

EPOCH = 2  # of the random numbers; 0 and 1 make the digits
RIDGES = 3
POINTS = 33  # along a ridge: 2^5 + 1, of which the image shows the first 28


def make_landscapes(n: int, seed: int = 0) -> np.ndarray:
    """Return n images of landscapes, uint8 (n, 28, 28), 0 black and 255 white.

    Image i depends on seed and i alone, so a smaller set is the beginning of a larger one. n and seed are whole numbers in
    [0, 2**32): TypeError if not whole, ValueError if outside.

    >>> X = make_landscapes(100, seed=0)
    >>> X.shape, X.dtype, bool(X[:, 0].mean() > X[:, -1].mean())  # the sky is brighter than the ground
    ((100, 28, 28), dtype('uint8'), True)
    """
    n, seed = whole(n, "n", 0, 2**32 - 1), whole(seed, "seed", 0, 2**32 - 1)
    X = np.empty((n, 28, 28), np.uint8)
    for start in range(0, n, CHUNK):
        samples = np.arange(start, min(start + CHUNK, n))
        X[samples] = _paint(philox.uniform(seed, philox.DATA, EPOCH, samples, 5 + RIDGES * (1 + POINTS)))
    return X


def _paint(u: np.ndarray) -> np.ndarray:
    """Return one picture, uint8 (28, 28), per row of uniform numbers: the sky, and before it sun and ridges, the nearest last."""
    x, y = np.arange(28.0), np.arange(28.0)[:, None]
    zenith, glow, sun_x, sun_y, radius, *level = u[:, :8, None, None].swapaxes(0, 1)
    image = 120 + 60 * zenith + (1 + 2 * glow) * y
    image = _cover(image, 250, 1.5 + 2 * radius - np.sqrt((x - 28 * sun_x) ** 2 + (y - 2 - 8 * sun_y) ** 2))
    for k, skyline in enumerate(_ridges(u[:, 8:].reshape(-1, RIDGES, POINTS)).swapaxes(0, 1)):
        depth = y - (9 + 6 * k + 4 * level[k]) - (7 - k) * skyline[:, None, :28]
        image = _cover(image, 115 - 43 * k + (2 - k) * np.maximum(depth, 0), depth)  # mist lies in the valleys
    return np.clip(image, 0, 255).astype(np.uint8)


def _cover(image: np.ndarray, shade: np.ndarray | float, depth: np.ndarray) -> np.ndarray:
    """Return the image with a shape over it; depth: how far, in pixels, each pixel lies inside the shape (below 0: outside)."""
    return image + np.clip(depth + 0.5, 0, 1) * (shade - image)


def _ridges(u: np.ndarray) -> np.ndarray:
    """Return heights of both signs by midpoint displacement, same shape as u, (n, RIDGES, POINTS): row k belongs to one ridge."""
    height = 2 * u - 1
    for step in 32, 16, 8, 4, 2:
        ends = height[..., :-1:step] + height[..., step::step]
        middle = height[..., step // 2::step]
        middle *= step / 32
        middle += ends / 2
    return height
