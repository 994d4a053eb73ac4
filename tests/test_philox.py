"""Random numbers: published answers of Philox, the normal quantile against the standard library, and independence of the
address."""

import hashlib
import math
import statistics

import numpy as np
import pytest

from ae_scratch.kernels import philox


@pytest.mark.parametrize("counter, key, answer", [  # the known-answer vectors that come with Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
])
def test_published_answers(counter, key, answer):
    got = philox.philox4x32(tuple(np.array([word], np.uint64) for word in counter), key)
    assert tuple(int(word[0]) for word in got) == answer


def test_golden_numbers():
    """The same bytes on every machine and with every NumPy: initial weights, shuffles and noise rest on them."""
    digest = hashlib.sha256()
    for array in (philox.bits(7, philox.DATA, 3, np.array([0, 5, 2**40]), 9), philox.uniform(7, philox.NOISE, 0, np.arange(3), 5),
                  philox.normal(7, philox.NOISE, 1, np.arange(50), 97), philox.permutation(7, 2, 1001),
                  philox.Stream(7).uniform(-1, 1, (3, 5))):
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == "afbd5ee08f135d1faa87df312542853e7b365c31acb7ded28aa979790d0057c5"


def test_a_number_depends_on_its_address_alone():
    whole = philox.bits(1, philox.NOISE, 4, np.arange(100), 30)
    assert np.array_equal(philox.bits(1, philox.NOISE, 4, np.array([77, 3]), 30), whole[[77, 3]])
    assert np.array_equal(philox.bits(1, philox.NOISE, 4, np.arange(100), 7), whole[:, :7])
    normal = philox.normal(1, philox.NOISE, 4, np.arange(3000), 30)  # made in several blocks
    assert np.array_equal(philox.normal(1, philox.NOISE, 4, np.array([2999, 5]), 30), normal[[2999, 5]])


@pytest.mark.parametrize("change", [(2, philox.NOISE, 4), (1, philox.DATA, 4), (1, philox.NOISE, 5)])
def test_seed_purpose_and_epoch_all_matter(change):
    base = philox.bits(1, philox.NOISE, 4, np.arange(50), 20)
    assert (philox.bits(*change, np.arange(50), 20) == base).mean() < 0.01


def test_uniform_numbers_are_uniform():
    u = philox.uniform(0, philox.NOISE, 0, np.arange(1000), 1000).ravel()
    assert 0 < u.min() and u.max() < 1
    counts = np.histogram(u, bins=100, range=(0, 1))[0]
    chi_square = ((counts - 1e4) ** 2 / 1e4).sum()
    assert chi_square < 160  # 99 degrees of freedom: exceeded by chance once in 10,000 seeds


def test_normal_quantile_against_the_standard_library():
    normal = statistics.NormalDist()
    u = [2**-33, 1 - 2**-33, 0.075, 0.925, *np.linspace(1e-4, 1 - 1e-4, 999)]
    expected = [normal.inv_cdf(x) for x in u]
    assert np.abs(philox.normal_quantile(np.array(u)) - expected).max() < 1e-6


def test_logarithm_against_the_standard_library():
    x = [2.0**-1000, 1e-10, 0.5, math.sqrt(0.5), 1.0, 1 + 2**-52, 3.0, *np.linspace(0.01, 2, 500)]
    expected = np.array([math.log(value) for value in x])
    assert (np.abs(philox.log(np.array(x)) - expected) <= 4e-16 * (1 + np.abs(expected))).all()


@pytest.mark.parametrize("n", [0, 1, 2, 31, 1000])
def test_a_permutation_holds_every_index_once(n):
    assert sorted(philox.permutation(0, 0, n).tolist()) == list(range(n))


def test_permutations_differ_between_epochs_and_seeds():
    orders = {philox.permutation(seed, epoch, 20).tobytes() for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_first_places_are_uniform():
    first = np.array([philox.permutation(0, epoch, 5)[0] for epoch in range(5000)])
    assert np.abs(np.bincount(first, minlength=5) - 1000).max() < 130  # 4.6 standard deviations of 28


def test_too_many_samples_is_an_error():
    with pytest.raises(ValueError, match="fewer than"):
        philox.permutation(0, 0, 2**32)
