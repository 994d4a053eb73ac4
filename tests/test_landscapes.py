"""The landscapes: the same bytes everywhere, sky above ground, and a structure of their own that 32 numbers can hold."""

import hashlib

import numpy as np
import pytest

from ae_scratch.datasets import landscapes
from ae_scratch.datasets.digits import CHUNK, make_digits
from ae_scratch.datasets.landscapes import make_landscapes


@pytest.fixture(scope="module")
def many():
    return make_landscapes(4000, seed=3)


def test_same_bytes_on_every_machine():
    """Exact by construction (elementwise IEEE operations only): a difference is a defect, not noise."""
    got = hashlib.sha256(make_landscapes(64, seed=0).tobytes()).hexdigest()
    assert got == "d2beda28b254ab2862ccfd80b609ca31d38aaf1dabde9e5c6d72cf238d87659d"


@pytest.mark.parametrize("n", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(many, n):
    X = make_landscapes(n, seed=3)
    assert X.shape == (n, 28, 28) and X.dtype == np.uint8
    assert np.array_equal(X, many[:n])


def test_no_two_are_alike(many):
    assert len({x.tobytes() for x in many}) == 4000
    assert len({make_landscapes(40, seed).tobytes() for seed in (0, 1, np.int64(2), 2**32 - 1)}) == 4


@pytest.mark.parametrize("bad, error", [
    (-1, ValueError), (2**32, ValueError), (1.0, TypeError), ("3", TypeError), (None, TypeError),
])
@pytest.mark.parametrize("name", ["n", "seed"])
def test_bad_arguments_are_named(name, bad, error):
    with pytest.raises(error, match=f"^{name} must be .* got {bad!r}"):
        make_landscapes(**{"n": 1, "seed": 0, name: bad})


def test_sky_is_above_the_ground_and_the_near_is_darker(many):
    sky, far, near = many[:, :3].mean((1, 2)), many[:, 12:16].mean((1, 2)), many[:, -3:].mean((1, 2))
    assert (sky > near).all() and (far > near).mean() > 0.95
    assert sky.mean() > far.mean() > near.mean()


def test_ridges_are_displaced_midpoints():
    """Against a recursion over one ridge at a time."""
    u = np.random.default_rng(0).uniform(size=(4, 3, 33))
    got = landscapes._ridges(u.copy())
    for ridge, noise in zip(got.reshape(-1, 33), u.reshape(-1, 33)):
        expected = {0: 2 * noise[0] - 1, 32: 2 * noise[32] - 1}
        _displace(expected, noise, 0, 32)
        assert np.allclose(ridge, [expected[k] for k in range(33)], rtol=0, atol=1e-15)


def _displace(height, noise, left, right):
    middle = (left + right) // 2
    if middle > left:
        height[middle] = (height[left] + height[right]) / 2 + (2 * noise[middle] - 1) * (right - left) / 32
        _displace(height, noise, left, middle)
        _displace(height, noise, middle, right)


def test_a_shape_covers_what_is_behind_it():
    got = landscapes._cover(np.array([10.0, 10, 10, 10]), 20, np.array([-2.0, -0.25, 0, 3]))
    assert got.tolist() == [10, 12.5, 15, 20]


def test_32_components_hold_a_landscape_but_not_those_of_digits(many):
    """The gap that the experiment shows with autoencoders, here with the best linear ones."""
    X = many.reshape(4000, -1) / 255
    own = _unexplained(X[:3000], X[3000:])
    foreign = _unexplained(make_digits(3000, seed=3)[0].reshape(3000, -1) / 255, X[3000:])
    assert own < 0.25  # of the variance
    assert foreign > 4 * own


def _unexplained(known, asked):
    """Return the squared error of 32 principal components of the known images, relative to the variance of the asked ones."""
    mean = known.mean(0)
    basis = np.linalg.eigh(np.cov(known.T))[1][:, -32:]
    error = asked - mean - (asked - mean) @ basis @ basis.T
    return (error**2).sum() / ((asked - asked.mean(0)) ** 2).sum()
