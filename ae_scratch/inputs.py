"""What a user hands in, checked before anything is computed or changed: arrays, names, numbers."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from .kernels.reference import Array
from .scaling import BYTES, Scaling, extremes
from .streaming import blocks, mapping, reserve


Limits = Callable[[Array, Array], Any]  # what may refuse data, told the least and the largest value of each feature


def as_matrix(X: Any, dtype: np.dtype[Any], n_features: int | None = None, name: str = "X", keep: Iterable[str] = (),
              limits: Limits | None = None) -> Array:
    """Return X as a C-contiguous matrix of the given dtype, itself or a copy; X is never written to.

    Takes anything NumPy reads as real numbers: lists, data frames, integers, booleans, any memory layout. keep: names of other
    dtypes to leave as they are; ``as_floats`` converts what is needed of them. limits: what else is asked of the values.
    Raises TypeError for other content and for sparse matrices; ValueError for complex or masked values, for anything but two
    dimensions, for no rows or columns, for a width other than ``n_features``, and for NaN or infinity.
    """
    array = _real_numbers(X, name)
    _require_shape(array, n_features, name)
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = np.ascontiguousarray(array, array.dtype if array.dtype.name in keep and array.dtype.isnative else dtype)
    if matrix.dtype.kind == "f" or limits:  # one pass for both: of a large file it is the dearest part
        low, high = extremes(matrix)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            _refuse_first(matrix, name, column_names(X))
        if limits:
            limits(low, high)
    return matrix


def _real_numbers(X: Any, name: str) -> Array:
    """X as an array of real numbers, of any type and shape."""
    if hasattr(X, "toarray"):
        raise TypeError(f"{name} is a sparse matrix, which is not supported: hand in {name}.toarray() if that fits into memory")
    if np.ma.is_masked(X):
        raise ValueError(f"{name} has masked values: fill them first, as in {name}.filled(0)")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"expected {name} as a matrix, with as many numbers in every row: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: expected {name} to hold real numbers, got {array.dtype}: take "
                         f"{name}.real or abs({name})")
    if array.dtype.kind == "O" and array.ndim:  # how a data frame with columns of several types arrives
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"expected {name} to hold real numbers: {error}{_hint(array, column_names(X))}") from error
    if array.dtype.kind not in "buif":
        raise TypeError(f"expected {name} to hold real numbers, got {array.dtype} ({type(X).__name__}): convert it, as in "
                        f"np.asarray({name}, float)")
    return array


def _hint(array: Array, names: Array | None) -> str:
    """Which column of a data frame holds what is no number, and what to do about it."""
    for name, column in zip(() if names is None else names, array.T):
        try:
            column.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            return f" in column {name!r}: convert it, or leave it out"
    return ""


def _require_shape(array: Array, n_features: int | None, name: str) -> None:
    """Raise ValueError unless the array is a matrix with rows and columns, and of the right width where that is known."""
    shape = array.shape
    if array.ndim != 2:
        hints = {0: "", 1: f". Reshape your data: {name}.reshape(-1, 1) is one feature, {name}.reshape(1, -1) one sample"}
        hint = hints.get(array.ndim, f". Reshape your data: {name}.reshape(len({name}), -1) has a row for each sample")
        raise ValueError(f"expected a 2-D {name} of shape (samples, features), got shape {shape}{hint}")
    for count, what in zip(shape, ("sample", "feature")):
        if count == 0:
            raise ValueError(f"{name} has 0 {what}(s) (shape={shape}) while a minimum of 1 is required: expected at least one "
                             "sample and one feature")
    if n_features is not None and shape[1] != n_features:
        raise ValueError(f"{name} has {shape[1]} features, but Autoencoder is expecting {n_features} features as input")


def column_names(X: Any) -> Array | None:
    """Return the names of a data frame's columns (features,); None if X has none, or any that is not a string."""
    names = [*getattr(X, "columns", ())]
    return np.array(names, object) if names and all(isinstance(name, str) for name in names) else None


def require_names(X: Any, fitted: Array | None, stacklevel: int) -> None:
    """Raise ValueError if the columns of the data frame X are not those a model was fitted with, in their order; warn if only
    one of the two has names, in the line that ``stacklevel`` counts to, as ``warnings.warn`` does."""
    names = column_names(X)
    if names is None or fitted is None:
        if names is not fitted:
            what = "X has feature names, but Autoencoder was fitted without feature names" if fitted is None else \
                "X does not have valid feature names, but Autoencoder was fitted with feature names"
            warnings.warn(what, stacklevel=stacklevel)
    elif list(names) != list(fitted):
        unseen, missing = sorted({*names} - {*fitted}), sorted({*fitted} - {*names})
        what = f"unseen at fit time: {unseen}, now missing: {missing}" if unseen or missing else "they are in another order"
        raise ValueError(f"The feature names should match those that were passed during fit: {what}")


def as_data(X: Any, dtype: np.dtype[Any], n_features: int | None = None, name: str = "X", exact: bool = False,
            limits: Limits | None = None) -> Array:
    """Return X, as ``as_matrix`` does, for a model of that dtype that converts rows when it reads them, by ``as_floats``.

    Bytes stay as they are; floats too if they lie in a file, which may be larger than memory. exact: nothing is rounded to the
    model's dtype, since an offset is to be subtracted first.
    """
    floats = ("float32", "float64") if exact or mapping(X) is not None else ()
    return as_matrix(X, np.dtype(np.float64) if exact else dtype, n_features, name, ("uint8", *floats), limits)


def as_floats(rows: Any, dtype: np.dtype[Any], scaling: Scaling | None = None) -> Array:
    """Return rows of data as a model computes with them: of its dtype, and scaled if there is a scaling.

    >>> as_floats(np.array([[0, 51, 255]], np.uint8), np.dtype("float32"), Scaling(255.0))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    return np.asarray(rows, dtype) if scaling is None else scaling.apply(rows, dtype)


def output(out: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Return ``out`` if results of that shape and dtype can be written to it, or a new array if it is None; OSError if it lies in
    a file for which the disk has no room."""
    if out is None:
        return np.empty(shape, dtype)
    if not (isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype and out.flags.carray):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"expected out as a writable array of {dtype} in C order, shape {shape}, got {got}")
    reserve(out)
    return out


def _refuse_first(matrix: Array, name: str, names: Array | None) -> NoReturn:
    """Raise ValueError that says where the matrix holds its first NaN or infinity, which it has; names: of its columns."""
    first, left = 0, blocks(matrix)
    while np.isfinite(block := next(left)).all():
        first += len(block)
    row, column = np.argwhere(~np.isfinite(block))[0].tolist()
    what = "NaN" if np.isnan(block[row, column]) else f"infinity or a value too large for {matrix.dtype}"
    place = f"column {column}" if names is None else f"column {names[column]!r}"
    raise ValueError(f"{name} contains {what}, first in row {first + row}, {place}: remove or replace such values")


def require_unit_interval(low: Array, high: Array, name: str, dtype: np.dtype[Any], scaling: Scaling | None) -> None:
    """Raise ValueError if a target of the binary cross-entropy, read by ``as_floats``, has features whose least or largest value
    lies outside [0, 1]."""
    lows, highs = as_floats(np.stack([low, high]), dtype, scaling)
    low, high = lows.min(), highs.max()
    if low < 0 or high > 1:
        bytes_like = "scaling='bytes' if these are bytes, " if 0 <= low and high <= BYTES else ""
        scaled, hint = ("", f"set {bytes_like}scaling='minmax'") if scaling is None else (
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
