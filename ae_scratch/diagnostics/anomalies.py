"""Which rows are anomalous, and which of their features made them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import inputs
from ..kernels.reference import Array

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder


class FeatureError(NamedTuple):
    """A feature of one row: its value, what the model made of it, and its squared error as a multiple of what is usual."""

    feature: str
    value: float
    reconstruction: float
    times_usual: float

    def __str__(self) -> str:
        return (f"{self.feature}: {self.value:.6g}, reconstructed as {self.reconstruction:.6g}, "
                f"{self.times_usual:.3g} times the usual error")


def anomaly_threshold(ae: Autoencoder, X_normal: Any, quantile: float = 0.99) -> float:
    """Return the quantile of the reconstruction errors of normal rows; rows with larger errors are called anomalous.

    A share of at most 1 - quantile of the normal rows is called anomalous by mistake: choose the quantile by how many false
    alarms can be looked into. Use rows that the model was not trained on, whose errors are larger than those of rows it knows.

    Raises NotFittedError before ``fit``, ValueError for a quantile outside (0, 1).

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((300, 6))
    >>> ae = Autoencoder((), 2, epochs=1, engine="numpy", random_state=0).fit(X[:100])
    >>> threshold = anomaly_threshold(ae, X[100:], quantile=0.9)
    >>> int((ae.reconstruction_error(X[100:]) > threshold).sum())
    20
    """
    inputs.number(quantile, "quantile", positive=True, below=1)
    errors = ae.reconstruction_error(X_normal)
    return float(np.sort(errors)[min(int(np.ceil(quantile * len(errors))), len(errors)) - 1])


def anomalous_features(ae: Autoencoder, X: Any, X_normal: Any, names: Sequence[str] | None = None,
                       top: int = 5) -> list[list[FeatureError]]:
    """Return, for each row of X, the features that are reconstructed worst, the worst first.

    Each feature's squared error is set against its mean over the normal rows: a feature that is always hard to reconstruct
    does not come first. names: of the features, by default those of the data frame that the model was fitted to, else "0", "1",
    ...; top: how many features of each row.

    Raises NotFittedError before ``fit``, ValueError for other numbers of features or names.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).normal(size=(500, 1)) * [1, 2, 3] + [0, 0, 10]
    >>> ae = Autoencoder((), 1, code_activation="identity", loss="mse", epochs=20, engine="numpy", random_state=0).fit(X)
    >>> (worst, *others), = anomalous_features(ae, [[0.1, 9.0, 10.3]], X, names=["pressure", "flow", "temperature"])
    >>> worst.feature, worst.value
    ('flow', 9.0)
    """
    inputs.whole(top, "top")
    typical: Array = ae.reconstruction_error(X_normal, per_feature=True).mean(axis=0, dtype=np.float64)
    known = getattr(ae, "feature_names_in_", range(len(typical)))
    names = [str(name) for name in (known if names is None else names)]
    if len(names) != len(typical):
        raise ValueError(f"expected {len(typical)} names, one for each feature, got {len(names)}")
    times = ae.reconstruction_error(X, per_feature=True) / np.maximum(typical, np.finfo(np.float32).tiny)
    worst = np.argsort(-times, axis=1, kind="stable")[:, :top]
    rows = zip(np.asarray(X, np.float64), ae.reconstruct(X), times, worst)
    return [[FeatureError(names[i], float(x[i]), float(x_hat[i]), float(time[i])) for i in order]
            for x, x_hat, time, order in rows]
