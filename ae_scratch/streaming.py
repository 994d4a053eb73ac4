"""Data larger than memory: arrays read block by block, files mapped into memory, and sequences of batches."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .kernels.reference import Array

BLOCK_BYTES = 1 << 24  # of data looked at a time: what stays in the cache, and makes Python's part in it small


def blocks(X: Array | Batches) -> Iterator[Array]:
    """Yield X (n, features) in blocks of rows; of a mapped file no more than a block stays in this process's memory."""
    if isinstance(X, Batches):
        yield from map(X.__getitem__, range(len(X)))
        return
    rows = max(1, BLOCK_BYTES // max(1, X.shape[1] * X.itemsize))
    for start in range(0, len(X), rows):
        yield X[start:start + rows]
        release(X)


def mapping(X: Any) -> mmap.mmap | None:
    """Return the mapped file that an array reads from, if it does and its pages may be given back; else None.

    Only NumPy's memmap says how it maps: pages of a private mapping (mode "c") may hold changes that are nowhere else, and stay.
    """
    while isinstance(X, np.ndarray):
        if isinstance(X.base, mmap.mmap):
            shared = isinstance(X, np.memmap) and X.mode != "c"
            return X.base if shared and hasattr(X.base, "madvise") else None
        X = X.base
    return None


def reserve(X: Array) -> None:
    """Let the file that X is a mapping of have all its blocks, or raise OSError: a page that found none would end the process."""
    with file_of(X, os.O_RDWR) as place:
        if place is not None and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(*place, X.nbytes)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that have no such thing
                    raise


@contextmanager
def file_of(X: Array, flags: int = os.O_RDONLY) -> Iterator[tuple[int, int] | None]:
    """Yield a descriptor of the file that X is a mapping of, and where in it X begins; None if X is no such mapping, or the file
    of that name is another one by now."""
    if mapping(X) is None or not X.flags.c_contiguous or not hasattr(os, "pread"):
        yield None
        return
    whole: Any = X
    while not isinstance(whole.base, mmap.mmap):
        whole = whole.base
    try:
        descriptor = os.open(whole.filename or "", flags)  # a file without a name has none to be opened by
    except OSError:
        yield None
        return
    try:
        first = X.__array_interface__["data"][0]
        same = os.fstat(descriptor).st_ino == _inode(first)
        yield (descriptor, whole.offset + first - whole.__array_interface__["data"][0]) if same else None
    finally:
        os.close(descriptor)


def _inode(address: int) -> int | None:
    """The number of the file that is mapped at an address, where Linux tells."""
    if os.path.exists("/proc/self/maps"):
        with open("/proc/self/maps") as maps:
            for line in maps:
                span, _, _, _, inode, *_ = line.split()
                begin, end = (int(part, 16) for part in span.split("-"))
                if begin <= address < end:
                    return int(inode)
    return None


def release(*arrays: Array) -> None:
    """Give the pages of mapped files that were read or written back to the system, which keeps them in its cache.

    Otherwise every page once touched would count as this process's memory, up to the size of the file.
    """
    for array in arrays:
        if (file := mapping(array)) is not None:
            file.madvise(mmap.MADV_DONTNEED)


def parts(n: int, *arrays: Array) -> Iterator[slice]:
    """Yield all of n rows at once; or part by part, if any of the arrays that they are read from or written to is a mapped
    file."""
    mapped = [array for array in arrays if mapping(array) is not None]
    rows = min((max(1, BLOCK_BYTES // array[:1].nbytes) for array in mapped), default=n)
    for start in range(0, n, rows):
        yield slice(start, start + rows)
        release(*mapped)


class Batches:
    """A sequence of batches, anything with a length and ``[i]``: each is read, checked and converted when its turn comes.

    read: turns what the sequence holds into a checked matrix.
    """

    def __init__(self, sequence: Any, read: Any):
        self.sequence, self.read = sequence, read
        self.shape = len(sequence), self[0].shape[1]  # the number of batches, and of features

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, i: int) -> Array:
        matrix: Array = self.read(self.sequence[i], f"batch {i}")
        return matrix


def is_sequence_of_batches(X: Any) -> bool:
    """Return whether X is a sequence of matrices, rather than a matrix or what NumPy makes one of."""
    if hasattr(X, "__array__") or isinstance(X, (str, bytes)) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        return False
    try:
        return len(X) > 0 and np.ndim(X[0]) == 2
    except (KeyError, IndexError, TypeError, ValueError):  # no sequence, sparse, or a ragged list: refused as such
        return False
