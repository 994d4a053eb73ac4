"""Bytes as they are: the same bits as fitting on rows of float32 in [0, 1], without ever holding those."""

import tracemalloc

import numpy as np
import pytest

from ae_scratch import Autoencoder, GaussianNoise
from ae_scratch.datasets import as_rows

IMAGES = np.random.default_rng(0).integers(0, 256, (150, 5, 9)).astype(np.uint8)
BYTES, ROWS = IMAGES.reshape(150, 45), as_rows(IMAGES)
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


def model(**settings):
    return Autoencoder(**{"hidden_sizes": (11,), "code_size": 4, "epochs": 2, "random_state": 0, **settings})


def state(fitted, X, y=None):
    """Everything that a fitted model says of X, in scaled units, as bytes."""
    arrays = [*fitted.get_weights().values(), fitted.encode(X), fitted.reconstruction_error(X), np.array(fitted.score(X)),
              fitted.reconstruction_error(X, per_feature=True)]
    return b"".join(array.tobytes() for array in arrays), fitted.history_, fitted.evaluate(X, y)


NOISES = [None, GaussianNoise(0.4, clip=(0, 1)), GaussianNoise(0.4, redraw="once")]
CASES = [("numpy", noise, loss) for noise in NOISES for loss in ("binary_crossentropy", "mse")]
CASES += [("numba", noise, "binary_crossentropy") for noise in NOISES]  # each combination is compiled: seconds


@pytest.mark.parametrize("engine, noise, loss", CASES)
def test_bytes_give_the_bits_of_scaled_rows(engine, noise, loss):
    settings = dict(engine=engine, noise=noise, loss=loss)
    expected, fitted = model(**settings).fit(ROWS), model(scaling="bytes", **settings).fit(BYTES)
    assert state(fitted, BYTES) == state(expected, ROWS)
    assert np.array_equal(fitted.reconstruct(BYTES), expected.reconstruct(ROWS) * np.float32(255))
    codes = fitted.encode(BYTES)
    assert np.array_equal(fitted.decode(codes), expected.decode(codes) * np.float32(255))
    assert np.allclose(fitted.decode(codes), fitted.reconstruct(BYTES), rtol=1e-5, atol=1e-3)


@ENGINES
def test_targets_of_their_own_and_floats_are_scaled_too(engine):
    target = BYTES[::-1]
    expected = model(engine=engine).fit(ROWS, ROWS[::-1])
    for X, y in ((BYTES, target), (BYTES.astype(float), target), (BYTES, target.astype(np.float32)), (BYTES.astype(int), target)):
        fitted = model(engine=engine, scaling="bytes").fit(X, y)
        assert state(fitted, X, y) == state(expected, ROWS, ROWS[::-1])


@pytest.mark.parametrize("engine, dtype", [("numpy", "float32"), ("numpy", "float64"), ("numba", "float32")])
def test_without_scaling_bytes_are_numbers(engine, dtype):
    settings = dict(engine=engine, loss="mse", dtype=dtype, noise=GaussianNoise(3.0))
    few = BYTES % 3
    assert state(model(**settings).fit(few), few) == state(model(**settings).fit(few.astype(dtype)), few.astype(dtype))


def test_a_missing_or_doubled_division_would_be_seen():
    expected = state(model(loss="mse").fit(ROWS), ROWS)
    assert state(model(loss="mse").fit(BYTES), BYTES) != expected
    assert state(model(loss="mse", scaling="bytes").fit(ROWS), ROWS) != expected


@ENGINES
def test_bytes_are_never_held_as_floats(engine):
    """What is allocated on the way is less than the bytes themselves."""
    many = np.tile(BYTES, (400, 10))  # 27 MB
    ae = model(engine=engine, epochs=1, batch_size=500, scaling="bytes", noise=GaussianNoise(0.1, redraw="once"))
    ae.fit(many[:20_000])  # compiles
    for use in (ae.fit, ae.encode, ae.evaluate):
        tracemalloc.start()
        use(many)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < many.nbytes  # the floats would be 4 times as large


def test_a_fitted_model_keeps_its_scaling_and_gets_it_with_the_weights():
    fitted = model(scaling="bytes").fit(BYTES)
    before = fitted.reconstruct(BYTES)
    assert before.max() > 1
    loaded = model(scaling="bytes").set_weights(fitted.get_weights())
    fitted.set_params(scaling=None)
    assert np.array_equal(fitted.reconstruct(BYTES), before) and np.array_equal(loaded.reconstruct(BYTES), before)
    assert fitted.gradcheck(BYTES).ok and fitted.gradcheck(BYTES, BYTES[::-1]).ok


def test_errors_are_in_scaled_units():
    with pytest.raises(ValueError, match=r"X in \[0, 1\], got values from 0 to 255: set scaling='bytes'.*or use loss='mse'"):
        model().fit(BYTES)
    with pytest.raises(ValueError, match=r"y in \[0, 1\], got values from 0 to 2 after scaling: check the data"):
        model(scaling="bytes").fit(BYTES, BYTES * 2.0)
