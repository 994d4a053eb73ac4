"""Data to learn from: MNIST where its files are; digits, landscapes and sensor readings made on the spot; tables in files."""

from __future__ import annotations

import os

from .digits import make_digits
from .idx import idx_sha256, read_idx
from .landscapes import make_landscapes
from .mnist import Dataset, as_rows, load_mnist
from .sensors import make_sensors
from .tables import Table, read_column, read_table, write_table

__all__ = ["Dataset", "Table", "as_rows", "generate_digits", "load_images", "load_mnist", "make_digits", "make_landscapes",
           "make_sensors", "read_column", "read_idx", "read_table", "write_table"]


def generate_digits(n_train: int = 60_000, n_test: int = 10_000, seed: int = 0) -> Dataset:
    """Return digits of ``make_digits`` in the form and sizes of MNIST, named "generated digits".

    >>> generate_digits(5, 2).X_test.shape
    (2, 28, 28)
    """
    X, y = make_digits(n_train + n_test, seed)
    parts = X[:n_train], y[:n_train], X[n_train:], y[n_train:]
    names = "train images", "train labels", "test images", "test labels"
    sha256 = {name: idx_sha256(part) for name, part in zip(names, parts)}
    return Dataset("generated digits", *parts, sha256, source=f"make_digits, seed {seed}")


def load_images(path: str | os.PathLike[str] | None = None, download: bool = False) -> Dataset:
    """Return MNIST from ``path`` or wherever ``load_mnist`` finds it, and generated digits where it is not and no path was given.

    Raises what ``load_mnist`` raises for a path without MNIST, for damaged files, and for a download that fails.
    """
    try:
        return load_mnist(path, download)
    except FileNotFoundError:
        if path is not None:
            raise
        return generate_digits()
