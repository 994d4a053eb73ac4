"""What a user hands in, checked before anything is computed or changed: arrays, names, numbers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .kernels.reference import Array
from .scaling import Scaling, extremes
from .streaming import blocks, mapping


def as_matrix(X: Any, dtype: np.dtype[Any], n_features: int | None = None, name: str = "X", keep: Iterable[str] = ()) -> Array:
    """Return X as a C-contiguous matrix of the given dtype, itself or a copy; X is never written to.

    Takes anything NumPy reads as real numbers: lists, data frames, integers, booleans, any memory layout. keep: names of other
    dtypes to leave as they are; ``as_floats`` converts what is needed of them.
    Raises TypeError for other content; ValueError for anything but two dimensions, for no rows or columns, for a width other than
    ``n_features``, and for NaN or infinity.
    """
    if np.ma.is_masked(X):
        raise ValueError(f"{name} has masked values: fill them first, as in {name}.filled(0)")
    array = np.asarray(X)
    if array.dtype.kind not in "buif":
        raise TypeError(f"expected {name} to hold real numbers, got {array.dtype} ({type(X).__name__}): convert it, as in "
                        f"np.asarray({name}, float)")
    if array.ndim != 2:
        hint = ": reshape(-1, 1) for one feature, reshape(1, -1) for one sample" if array.ndim == 1 else ": reshape(len(X), -1)"
        hint = hint if array.ndim else ""
        raise ValueError(f"expected a 2-D {name} of shape (samples, features), got shape {array.shape}{hint}")
    if 0 in array.shape:
        raise ValueError(f"expected at least one sample and one feature in {name}, got shape {array.shape}")
    if n_features is not None and array.shape[1] != n_features:
        raise ValueError(f"expected {name} with {n_features} features, got {array.shape[1]}")
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = np.ascontiguousarray(array, array.dtype if array.dtype.name in keep and array.dtype.isnative else dtype)
    require_finite(matrix, name)
    return matrix


def kept(X: Any, exact: bool = False) -> tuple[str, ...]:
    """Return the dtypes in which data X are kept as they are: bytes; floats too if they lie in a file, which may be larger than
    memory, or if they shall be scaled exactly."""
    return ("uint8", "float32", "float64") if exact or mapping(X) is not None else ("uint8",)


def as_floats(rows: Any, dtype: np.dtype[Any], scaling: Scaling | None = None) -> Array:
    """Return rows of data as a model computes with them: of its dtype, and scaled if there is a scaling.

    >>> as_floats(np.array([[0, 51, 255]], np.uint8), np.dtype("float32"), Scaling(255.0))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    return np.asarray(rows, dtype) if scaling is None else scaling.apply(rows, dtype)


def output(out: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Return ``out`` if results of that shape and dtype can be written to it, or a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not (isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype and out.flags.carray):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"expected out as a writable array of {dtype} in C order, shape {shape}, got {got}")
    return out


def require_finite(matrix: Array, name: str) -> None:
    """Raise ValueError if the matrix holds NaN or infinity, and say where."""
    first = 0
    for block in blocks(matrix) if matrix.dtype.kind == "f" else ():
        finite = np.isfinite(block)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            what = "NaN" if np.isnan(block[row, column]) else f"infinity or a value too large for {matrix.dtype}"
            raise ValueError(f"{name} contains {what}, first in row {first + row}, column {column}: "
                             "remove or replace such values")
        first += len(block)


def require_unit_interval(T: Array, name: str, dtype: np.dtype[Any], scaling: Scaling | None) -> None:
    """Raise ValueError if a target of the binary cross-entropy, read by ``as_floats``, lies outside [0, 1]."""
    lows, highs = as_floats(np.stack(extremes(T)), dtype, scaling)
    low, high = lows.min(), highs.max()
    if low < 0 or high > 1:
        scaled, hint = ("", "set scaling='bytes' if these are bytes, 'minmax' for other data") if scaling is None else (
            " after scaling", "set scaling='minmax'" if scaling.offset is not None else "check the data")
        raise ValueError(f"loss='binary_crossentropy' expects {name} in [0, 1], got values from {low:g} to {high:g}{scaled}: "
                         f"{hint}, or use loss='mse'")


def choose(value: Any, known: Iterable[str], argument: str) -> str:
    """Return the value if it is one of the known names; else ValueError with the nearest one."""
    names = list(known)
    if value in names:
        return str(value)
    import difflib  # slow to import, and only an error needs it

    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}={value!r} is unknown: expected one of {', '.join(map(repr, names))}{hint}")


def whole(value: Any, argument: str, least: int = 1, most: int | None = None) -> int:
    """Return the value if it is an integer in range; TypeError or ValueError otherwise."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an integer, got {value!r}")
    integer = int(value)
    if integer < least or (most is not None and integer > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{argument} must be {limits}, got {value}")
    return integer


def whole_numbers(values: Any, argument: str) -> list[int]:
    """Return the values as a list if all are integers of at least 1; TypeError or ValueError otherwise."""
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str):
        raise TypeError(f"{argument} must be a sequence of integers such as (128,), got {values!r}")
    return [whole(value, argument) for value in values]


def number(value: Any, argument: str, positive: bool = False, below: float = math.inf) -> float:
    """Return the value if it is a real number in [0, below), or (0, below); TypeError or ValueError otherwise."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    real = float(value)
    if not 0 <= real < below or (positive and real == 0):
        limit = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{argument} must be {limit} and {'above' if positive else 'at least'} 0, got {value}")
    return real
