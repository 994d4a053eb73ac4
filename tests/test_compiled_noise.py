"""The compiled noise against NumPy's, bit for bit."""

import numpy as np
import pytest
from numba import njit

from ae_scratch import GaussianNoise, MaskingNoise, SaltAndPepperNoise
from ae_scratch.kernels import compiled_noise, philox


@njit
def compiled(X, sigma, low, high, seed, epoch, rows):
    out = np.empty_like(X)
    philox.add_noise(X, sigma, low, high, seed, epoch, rows, out)
    return out


@njit
def compiled_replacement(X, fraction, low, high, seed, epoch, rows):
    out = np.empty_like(X)
    philox.replace(X, fraction, low, high, seed, epoch, rows, out)
    return out


def both(noise, X, rows, seed=7, epoch=3):
    run = compiled if isinstance(noise, GaussianNoise) else compiled_replacement
    return run(X, *noise.settings(seed, epoch), rows), noise.corrupt(X, seed, epoch, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 31, 97, 784])
@pytest.mark.parametrize("kind", [
    lambda redraw: GaussianNoise(0.4, None, redraw), lambda redraw: GaussianNoise(0.4, (0, 1), redraw),
    lambda redraw: GaussianNoise(0.4, (-0.5, np.inf), redraw), lambda redraw: MaskingNoise(0.3, redraw),
    lambda redraw: SaltAndPepperNoise(0.3, -0.1, 2, redraw)])
def test_the_same_bits_as_numpys(dtype, width, kind):
    X = np.random.default_rng(0).uniform(-1, 2, size=(100, width)).astype(dtype)
    rows = np.random.default_rng(1).permutation(np.r_[0:50, 2**32 - 1, 2**32, 2**62, np.arange(47) * 12345678901])
    for seed, epoch, redraw in ((0, 0, "batch"), (7, 3, "batch"), (2**32 - 1, 2**32 - 1, "batch"), (7, 3, "once")):
        got, expected = both(kind(redraw), X, rows, seed, epoch)
        assert got.tobytes() == expected.tobytes()


def test_the_same_bits_of_two_million_numbers():
    got, expected = both(GaussianNoise(1.0), np.zeros((500, 4099)), np.arange(500))
    assert got.tobytes() == expected.tobytes()
    assert abs(expected).max() > 4.5  # far into both tails


def test_the_ends_of_the_quantile_and_where_its_branches_meet():
    """The smallest and largest words, and those around |u - 1/2| = 0.425."""
    meeting = np.round(np.array([0.075, 0.925]) * 2**32).astype(np.int64)
    words = np.r_[0:40, 2**32 - 40:2**32, [m + k for m in meeting for k in range(-20, 21)]].astype(np.uint32)
    z, extremes, places = np.empty(words.size), np.empty(words.size), np.empty(words.size, np.int32)
    njit(lambda *arguments: compiled_noise.quantiles(*arguments))(words, z, extremes, places)
    expected = philox.normal_quantile((words + 0.5) * 2.0**-32)
    assert z.tobytes() == expected.tobytes() and 40 < (abs(expected) > 1.5).sum()


@pytest.mark.parametrize("planted", [dict(seed=8), dict(epoch=2)])
def test_another_address_would_be_seen(planted):
    X, rows = np.full((20, 50), 0.5, np.float32), np.arange(20)
    for noise, alike in ((GaussianNoise(0.4), 0.05), (SaltAndPepperNoise(0.9), 0.6)):
        got, _ = both(noise, X, rows, **planted)
        assert (got == both(noise, X, rows)[1]).mean() < alike


def test_how_often_numbers_are_replaced():
    """Of a million numbers, within five standard deviations."""
    X = np.full((1000, 1000), 0.5, np.float32)
    for noise, expected in ((MaskingNoise(0.3), {0: 0.3, 0.5: 0.7}), (SaltAndPepperNoise(0.3), {0: 0.15, 1: 0.15, 0.5: 0.7}),
                            (SaltAndPepperNoise(0.5, -2, 3), {-2: 0.25, 3: 0.25, 0.5: 0.5}), (MaskingNoise(0), {0.5: 1})):
        noisy = noise.corrupt(X, 1)
        for value, probability in expected.items():
            assert abs((noisy == value).mean() - probability) <= 5e-3 * (probability * (1 - probability)) ** 0.5
    columns = (MaskingNoise(0.5).corrupt(X, 1) == 0).mean(axis=0)
    assert 0.3 < columns.min() and columns.max() < 0.7 and (X == 0.5).all()
