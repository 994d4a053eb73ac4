"""How good a loss is: above the least that any model can reach, and beside what needs no autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import inputs
from ..kernels.reference import Array
from ..losses import LOSSES
from ..pca import principal_components
from ..scaling import extremes
from ..streaming import blocks
from .tables import aligned

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

DOUBLE = np.dtype(np.float64)
CLIP = 1e-3  # a baseline's probabilities lie in [CLIP, 1 - CLIP]: a linear model may leave [0, 1], where the logarithm ends


class ExcessLoss(NamedTuple):
    """A loss, the floor that no model gets below, and what lies between: all in nats per feature for cross-entropy."""

    loss: float
    floor: float
    excess: float

    def __str__(self) -> str:
        return f"loss {self.loss:.4f} = floor {self.floor:.4f} + excess {self.excess:.4f}"


class Baseline(NamedTuple):
    """One way to reconstruct the data: its mean squared error and, for a model of cross-entropy, its cross-entropy."""

    name: str
    mse: float
    binary_crossentropy: float | None


class Comparison(NamedTuple):
    """The mean of the training data, as many principal components as the code has units, and the autoencoder."""

    mean: Baseline
    pca: Baseline
    autoencoder: Baseline

    def __str__(self) -> str:
        entropy = self.mean.binary_crossentropy is not None
        rows = [["", "mean squared error", *["binary cross-entropy"] * entropy]]
        for baseline in self:
            numbers = (baseline.mse, *[baseline.binary_crossentropy] * entropy)
            rows.append([baseline.name, *(f"{value:.6g}" for value in numbers)])
        return aligned(rows)


def loss_floor(T: Any, loss: str = "binary_crossentropy") -> float:
    """Return the least loss that any output can have for targets T: 0 for "mse", the mean binary entropy for cross-entropy.

    For a target t the cross-entropy -t log p - (1 - t) log(1 - p) is least at p = t, where it still is the entropy H(t) = -t
    log t - (1 - t) log(1 - t), in nats: 0 for t = 0 and t = 1, log 2 = 0.693 for t = 1/2. The floor is the mean of H.

    Raises ValueError for an unknown loss, or targets outside [0, 1] with cross-entropy.

    >>> round(loss_floor([[0.0, 0.5], [1.0, 0.5]]), 6)
    0.346574
    """
    inputs.choose(loss, LOSSES, "loss")
    T = as_data(T, name="T")
    if loss == "mse":
        return 0.0
    inputs.require_unit_interval(*extremes(T), "T", DOUBLE, None)
    return _mean(lambda rows: _cross_entropy(rows, rows), T)


def excess_loss(ae: Autoencoder, X: Any, y: Any = None) -> ExcessLoss:
    """Return the loss of a fitted model on X (or on inputs X and targets y), its floor, and by how much it lies above.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((100, 6))
    >>> found = excess_loss(Autoencoder((), 3, epochs=1, engine="numpy", random_state=0).fit(X), X)
    >>> found.loss > found.floor > 0
    True
    """
    loss = ae.evaluate(X, y)["loss"]
    T = as_data(X if y is None or np.ndim(y) == 1 else y)
    floor = _mean(lambda rows: _cross_entropy(rows, rows), T, scaler(ae)) if ae.loss == "binary_crossentropy" else 0.0
    return ExcessLoss(loss, floor, loss - floor)


def compare_baselines(ae: Autoencoder, X: Any, X_test: Any = None) -> Comparison:
    """Return how well X_test (X if there is none) is reconstructed by the mean of X, by the principal components of X, as many
    as the code has units (or X has features), and by the fitted model; ``print`` the result.

    X: what the model was trained on. Errors are means over features and samples, in the model's scaled units. Cross-entropy
    takes the outputs of the two baselines as probabilities, clipped to [0.001, 0.999].

    Raises NotFittedError before ``fit``, ValueError for other features than the model's.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((100, 6))
    >>> ae = Autoencoder((), 3, loss="mse", epochs=1, engine="numpy", random_state=0).fit(X)
    >>> compared = compare_baselines(ae, X)
    >>> compared.mean.mse > compared.pca.mse
    True
    """
    scaled, X = scaler(ae), as_data(X, ae.n_features_in_)
    T = X if X_test is None else as_data(X_test, X.shape[1], "X_test")
    k = min(ae.code_size, X.shape[1])
    components = principal_components(X, k, scaled)
    entropy = ae.loss == "binary_crossentropy"

    def baseline(name: str, reconstruct: Callable[[Array], Array]) -> Baseline:
        return Baseline(name, _mean(lambda rows: (reconstruct(rows) - rows) ** 2, T, scaled),
                        _mean(lambda rows: _cross_entropy(reconstruct(rows), rows), T, scaled) if entropy else None)

    own = Baseline("autoencoder", -ae.score(T), ae.evaluate(T)["loss"] if entropy else None)
    return Comparison(baseline("mean", lambda rows: np.broadcast_to(components.mean, rows.shape)),
                      baseline(f"PCA, {k} components", components.reconstruct), own)


def as_data(X: Any, n_features: int | None = None, name: str = "X") -> Array:
    """Return data as a checked matrix: bytes and floats as they are, other numbers as float64."""
    return inputs.as_data(X, DOUBLE, n_features, name, exact=True)


def scaler(ae: Autoencoder) -> Callable[[Any], Array]:
    """Return the function that turns rows of data into a fitted model's scaled units, in float64."""
    ae.summary()  # NotFittedError before fit
    return lambda rows: inputs.as_floats(rows, DOUBLE, ae.scaling_)


def _mean(figure: Callable[[Array], Array], T: Array, scaled: Callable[[Any], Any] = np.asarray) -> float:
    """The mean over features and samples of a figure of each number, block by block."""
    return float(sum(figure(np.asarray(scaled(block), DOUBLE)).sum() for block in blocks(T)) / T.size)


def _cross_entropy(P: Array, T: Array) -> Array:
    """The binary cross-entropy of each number, with 0 log 0 = 0; where P is not T, it is clipped."""
    P = np.where(P == T, P, np.clip(P, CLIP, 1 - CLIP))
    return -T * np.log(np.where(T == 0, 1, P)) - (1 - T) * np.log(np.where(T == 1, 1, 1 - P))
