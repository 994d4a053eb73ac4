"""The base install alone: nothing but NumPy and Numba came with it, and models train, encode and decode with both engines."""

from importlib.metadata import distributions

import numpy as np

from ae_scratch import Autoencoder

installed = {distribution.metadata["Name"].lower().replace("-", "_") for distribution in distributions()}
expected = {"ae_scratch", "numpy", "numba", "llvmlite"}
assert installed - {"pip", "setuptools", "wheel"} == expected, f"expected {expected} to be installed, got {installed}"

X = np.random.default_rng(0).random((100, 8))
for engine in "numpy", "numba":
    ae = Autoencoder((6,), 3, epochs=2, engine=engine, random_state=0).fit(X, ["label"] * 100)
    assert ae.transform(X).shape == (100, 3) and np.array_equal(ae.decode(ae.encode(X)), ae.reconstruct(X))
    assert ae.history_["loss"][1] < ae.history_["loss"][0]
