"""One buffer for many arrays: the parameters of a model, or their gradients, or a moment of the optimizer.

Saving, hashing or updating a model then is one operation over one vector, whatever the number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Shape = tuple[int, ...]

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return a vector of zeros whose first byte lies at a multiple of 64."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start:start + size * dtype.itemsize].view(dtype)


class Arrays(Mapping[str, np.ndarray]):
    """Named arrays that are views of one vector: ``arrays["0.W"]`` is a part of ``arrays.vector``.

    Every array starts at a multiple of 64 bytes; the few elements between two arrays are zero and stay zero, since their
    gradient is. Hence ``vector.size`` can exceed ``count``, the number of elements that have a name.

    >>> arrays = Arrays({"W": (3, 2), "b": (2,)}, "float32")
    >>> arrays.vector[:] = 1
    >>> float(arrays["W"].sum()), arrays.count, arrays.vector.size
    (6.0, 8, 32)
    """

    def __init__(self, shapes: Mapping[str, Shape], dtype: DTypeLike, vector: NDArray[Any] | None = None):
        self.shapes = dict(shapes)
        self.starts = _starts(self.shapes, np.dtype(dtype))
        self.vector = aligned_zeros(self.starts[-1], dtype) if vector is None else vector
        self._views = {name: self.vector[start:start + math.prod(shape)].reshape(shape)
                       for (name, shape), start in zip(self.shapes.items(), self.starts)}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vector.dtype

    @property
    def count(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def zeros_like(self) -> Arrays:
        """Return arrays of the same names, shapes and dtype in a buffer of their own, all zero."""
        return Arrays(self.shapes, self.dtype)

    def part(self, start: int, stop: int) -> Arrays:
        """Return the arrays from the start-th to before the stop-th, sharing this buffer."""
        shapes = dict(list(self.shapes.items())[start:stop])
        return Arrays(shapes, self.dtype, self.vector[self.starts[start]:self.starts[stop]])


def _starts(shapes: Mapping[str, Shape], dtype: np.dtype[Any]) -> list[int]:
    """Where each array starts, in elements, and at the end how long the buffer is."""
    line = ALIGNMENT // dtype.itemsize
    starts = [0]
    for shape in shapes.values():
        starts.append(starts[-1] + -(-math.prod(shape) // line) * line)
    return starts
