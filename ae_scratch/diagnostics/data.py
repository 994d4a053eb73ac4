"""Whether data suit a model: what often goes wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..inputs import column_names
from ..kernels.reference import Array
from ..scaling import BYTES, extremes
from .baselines import as_data

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

SAMPLE = 10_000  # rows whose quartiles stand for all
FAR = 10  # interquartile ranges beyond a quartile: one in 10^40 of normally distributed values lies there
UNEVEN = 100  # ratio of two features' ranges
ROWS_PER_UNIT = 10
NAMED = 5  # features named in a warning
OUTPUTS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}  # what they can put out; others anything


class DataWarning(NamedTuple):
    """Something about the data that will keep a model from learning, and what to do about it."""

    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.advice}"


def check_data(X: Any, ae: Autoencoder, names: Sequence[str] | None = None) -> list[DataWarning]:
    """Return what makes X (n, features) hard for the settings of ``ae``, fitted or not; an empty list if nothing was found.

    It looks for values that the loss or the output cannot reach, bytes that nobody scaled, constant features, features of very
    different ranges, outliers (values further than 10 interquartile ranges from the quartiles, which are those of up to
    10,000 rows), repeated rows, fewer than 10 rows for each unit of the code, and codes that are large enough to copy.

    names: of the features, by default those of a data frame's columns, else their numbers from 0.

    Raises TypeError or ValueError, as ``fit`` does, for what is no matrix of finite numbers.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).integers(0, 256, (500, 6))
    >>> print(*check_data(X, Autoencoder(code_size=2)), sep="\\n")
    values from 0 to 255 for loss='binary_crossentropy', which takes [0, 1]: these look like bytes: set scaling='bytes'
    """
    known = column_names(X) if names is None else names
    X = as_data(X)
    names = [str(name) for name in (range(X.shape[1]) if known is None else known)]
    low, high = extremes(X)
    checks = [_range(X, low.min(), high.max(), ae), _constant(low, high, names)]
    if X.dtype != np.uint8 and (low.min() < 0 or high.max() > 1):  # pixels and the like are uneven for a reason
        checks += [_uneven(low, high, ae, names), _outliers(X, low, high, names)]
    checks += [_repeated(X), _few_rows(X, ae), _overcomplete(X, ae)]
    return [warning for found in checks for warning in found]


def _range(X: Array, low: float, high: float, ae: Autoencoder) -> Iterator[DataWarning]:
    """Values that the loss does not take or the last activation cannot put out."""
    if ae.scaling not in (None, "bytes"):
        return  # scaled to what the data are
    divisor = 1 if ae.scaling is None else BYTES
    low, high = low / divisor, high / divisor
    entropy = ae.loss == "binary_crossentropy"
    output = ae.output_activation or ("sigmoid" if entropy else "identity")
    reach = OUTPUTS.get(output, (-np.inf, np.inf))
    bytes_like = ae.scaling is None and low >= 0 and 1 < high <= 255 and (X[:SAMPLE] == np.floor(X[:SAMPLE])).all()
    if low < reach[0] or high > reach[1]:
        what = "loss='binary_crossentropy', which takes" if entropy else f"output_activation='{output}', which gives"
        other = "scaling='minmax' or loss='mse'" if entropy else "another output_activation, or scaling='minmax'"
        yield DataWarning(f"values from {low:g} to {high:g} for {what} [{reach[0]:g}, {reach[1]:g}]",
                          "these look like bytes: set scaling='bytes'" if bytes_like else f"set {other}")
    elif bytes_like and high > 127:
        yield DataWarning(f"whole numbers from {low:g} to {high:g}, which look like bytes", "set scaling='bytes'")


def _constant(low: Array, high: Array, names: Sequence[str]) -> Iterator[DataWarning]:
    constant = np.flatnonzero(low == high)
    if len(constant):
        yield DataWarning(f"constant features: {len(constant)} of {len(low)} ({_listed(constant, names)})",
                          "harmless in images; leave them out of a table, where they hide in the mean error")


def _uneven(low: Array, high: Array, ae: Autoencoder, names: Sequence[str]) -> Iterator[DataWarning]:
    """Features whose ranges differ so much that the error is all about one of them."""
    ranges = np.where(high > low, high - low, np.nan)
    if ae.scaling in (None, "bytes") and not np.isnan(ranges).all() and np.nanmax(ranges) > UNEVEN * np.nanmin(ranges):
        wide, narrow = int(np.nanargmax(ranges)), int(np.nanargmin(ranges))
        yield DataWarning(f"feature {names[wide]} ranges over {ranges[wide]:.3g}, feature {names[narrow]} over "
                          f"{ranges[narrow]:.3g}: the error is all about the first", "set scaling='standard' or scaling='minmax'")


def _outliers(X: Array, low: Array, high: Array, names: Sequence[str]) -> Iterator[DataWarning]:
    first, third = np.quantile(X[:: -(-len(X) // SAMPLE)], (0.25, 0.75), axis=0)
    reach = FAR * (third - first)
    far = np.flatnonzero((reach > 0) & ((low < first - reach) | (high > third + reach)))
    if len(far):
        worst = int(far[np.argmax(np.maximum(first - low, high - third)[far] / reach[far])])
        yield DataWarning(f"{len(far)} of {len(low)} features have outliers ({_listed(far, names)}); half of feature "
                          f"{names[worst]} lies from {first[worst]:.3g} to {third[worst]:.3g}, all of it from {low[worst]:.3g} "
                          f"to {high[worst]:.3g}",
                          "look at them; clip them, or take the logarithm of a skewed feature")


def _repeated(X: Array) -> Iterator[DataWarning]:
    repeated = len(X) - len({hash(row.tobytes()) for row in X})
    if repeated > 0.01 * len(X):
        yield DataWarning(f"{repeated:,} of {len(X):,} rows repeat an earlier one",
                          "leave them out, or see to it that no row is both trained and tested on")


def _few_rows(X: Array, ae: Autoencoder) -> Iterator[DataWarning]:
    if len(X) < ROWS_PER_UNIT * ae.code_size:
        yield DataWarning(f"{len(X):,} rows for a code of {ae.code_size}", "the model can learn them by heart: take more rows or "
                          "a smaller code_size, and judge it by rows it has not seen")


def _overcomplete(X: Array, ae: Autoencoder) -> Iterator[DataWarning]:
    if ae.code_size >= X.shape[1] and not (ae.l1_activity or ae.kl_beta or ae.noise):
        yield DataWarning(f"a code of {ae.code_size} for {X.shape[1]} features can copy its input and learn nothing",
                          f"set a code_size below {X.shape[1]}, l1_activity or noise")


def _listed(features: Array, names: Sequence[str]) -> str:
    """The names of the first few features."""
    shown = ", ".join(names[feature] for feature in features[:NAMED])
    return f"{shown}, ..." if len(features) > NAMED else shown
