"""One buffer for many arrays: the parameters of a model, or their gradients, or a moment of the optimizer.

Saving, hashing or updating a model then is one operation over one vector, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Return a vector of zeros whose first byte lies at a multiple of 64."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start:start + size * dtype.itemsize].view(dtype)


class Arrays(Mapping[str, np.ndarray]):
    """Named arrays that are views of one vector: ``arrays["0.W"]`` is a part of ``arrays.vector``.

    Every array starts at a multiple of 64 bytes; the few elements between two arrays are zero and stay zero, since their
    gradient is. Hence ``vector.size`` can exceed ``count``, the number of elements that have a name.

    >>> arrays = Arrays({"W": (3, 2), "b": (2,)}, np.dtype("float32"))
    >>> arrays.vector[:] = 1
    >>> arrays["W"].sum(), arrays.count, arrays.vector.size
    (np.float32(6.0), 8, 32)
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype):
        self.shapes = dict(shapes)
        offsets = _offsets(self.shapes, np.dtype(dtype))
        self.vector = aligned_zeros(offsets[-1], dtype)
        self._views = {name: self.vector[start:start + _size(shape)].reshape(shape)
                       for (name, shape), start in zip(self.shapes.items(), offsets)}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def dtype(self) -> np.dtype:
        return self.vector.dtype

    @property
    def count(self) -> int:
        return sum(_size(shape) for shape in self.shapes.values())

    def zeros_like(self) -> Arrays:
        """Return arrays of the same names, shapes and dtype in a buffer of their own, all zero."""
        return Arrays(self.shapes, self.dtype)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _offsets(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> list[int]:
    """Where each array starts, in elements, and at the end how long the buffer is."""
    line = ALIGNMENT // dtype.itemsize
    offsets = [0]
    for shape in shapes.values():
        offsets.append(offsets[-1] + -(-_size(shape) // line) * line)
    return offsets
