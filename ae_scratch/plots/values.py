"""What pictures are drawn of, checked and brought into shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..inputs import whole
from ..kernels.reference import Array


def named(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping, if it is one and holds something."""
    if not isinstance(values, Mapping):
        raise TypeError(f"expected {name} as a dict from labels to values, got {type(values).__name__}")
    if not values:
        raise ValueError(f"expected at least one entry in {name}, got an empty dict")
    return values


def as_numbers(values: Any, name: str, gaps: bool = False) -> Array:
    """The values as finite float64, at least one; with ``gaps``, None and NaN are allowed and become NaN."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected {name} to hold real numbers in rows of equal length, got {values!r:.50}") from error
    if not array.size:
        raise ValueError(f"expected at least one value of {name}, got shape {array.shape}")
    if np.isinf(array).any() or (np.isnan(array).any() and not gaps):
        raise ValueError(f"{name} contains NaN or infinity: remove or replace such values")
    return array


def as_line(values: Any, name: str, gaps: bool = False) -> Array:
    line = as_numbers(values, name, gaps)
    if line.ndim != 1:
        raise ValueError(f"expected a 1-D sequence for {name}, got shape {line.shape}")
    return line


def as_images(values: Any, name: str, count: int) -> Array:
    """The first ``count`` of some images, as (n, height, width)."""
    if np.ndim(values) not in (2, 3):
        raise ValueError(f"expected images (n, pixels) or (n, height, width) for {name}, got shape {np.shape(values)}")
    images = as_numbers(np.asarray(values)[:whole(count, "count")], name)
    if images.ndim == 3:
        return images
    side = math.isqrt(images.shape[1])
    if side ** 2 != images.shape[1]:
        raise ValueError(f"expected a square number of pixels for {name} (784 are 28 x 28), got {images.shape[1]}: "
                         "give height and width, as in reshape(n, height, width), if the images are not square")
    return images.reshape(-1, side, side)
