"""The public surface as a typed program uses it: ``mypy --strict`` reads this file, nothing runs it.

``assert_type`` fails where an annotation is missing or vaguer than it says here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ae_scratch import (SGD, Adam, Autoencoder, BinaryCrossEntropy, Dense, DivergedError, GaussianNoise, L1Activity, Network,
                        NotFittedError, ReLU, Sigmoid, show_versions)

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Subclass(Autoencoder):
    """Methods that return the estimator return an object of its own class."""


def estimator(X: NDArray[np.float32], labels: list[str]) -> None:
    ae = Autoencoder((128,), 32, loss="mse", noise=GaussianNoise(0.4, clip=(0, 1)), optimizer=Adam(1e-3), random_state=0)
    assert_type(ae.fit(X, labels), Autoencoder)
    assert_type(Subclass().fit(X).set_params(epochs=3), Subclass)
    assert_type(ae.encode(X), NDArray[Any])
    assert_type(ae.decode(ae.encode(X)), NDArray[Any])
    assert_type(ae.reconstruct(X), NDArray[Any])
    assert_type(ae.predict(X), NDArray[Any])
    assert_type(ae.evaluate(X)["loss"], float)
    assert_type(ae.reconstruction_error(X, per_feature=True), NDArray[Any])
    assert_type(ae.score(X, labels), float)
    assert_type(ae.history_["objective"], list[float])
    assert_type(ae.get_params(), dict[str, Any])


def inside(ae: Autoencoder, X: NDArray[np.float64]) -> None:
    weights = ae.get_weights()
    assert_type(weights["encoder.0.W"], NDArray[Any])
    assert_type(Subclass().set_weights(weights), Subclass)
    assert_type(ae.encoder, Network)
    assert_type(ae.summary(), str)
    assert_type(ae.gradcheck(X).ok, bool)
    assert_type(ae.n_features_in_, int)
    assert_type(ae.feature_names_in_, NDArray[Any])
    assert_type(ae.get_feature_names_out(), NDArray[Any])


def pieces(X: NDArray[np.float32], rng: np.random.Generator) -> None:
    network = Network([Dense(4, 2, rng), ReLU(), L1Activity(1e-3), Dense(2, 4, rng), Sigmoid()])
    Y, cache = network.forward(X)
    value, D = BinaryCrossEntropy().forward(Y, X)
    assert_type(value, float)
    dX, grads = network.backward(BinaryCrossEntropy().backward(D), cache)
    assert_type(dX, NDArray[Any])
    SGD(0.1).step(network.params.vector, grads.vector)


def errors(ae: Autoencoder, X: NDArray[np.float32]) -> None:
    try:
        ae.fit(X)
    except DivergedError as error:
        assert_type(error.epoch, int)
    except NotFittedError:
        show_versions()
