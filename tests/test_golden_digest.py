"""One small job whose bits are promised: every CPU with fused multiply-adds and every number of threads gives them.

``golden_digest.txt`` holds the digests of weights, moments and codes after 20 steps. They change with a new line there, and with
a line in the CHANGELOG that names its digest class.
"""

import hashlib
import pathlib
import re

import numpy as np
import pytest

from ae_scratch import Adam, BinaryCrossEntropy, Dense, GaussianNoise, L1Activity, MeanSquaredError, Network, ReLU
from ae_scratch.engine import driver
from ae_scratch.kernels import linked, philox
from ae_scratch.training import Job

HERE = pathlib.Path(__file__).parent
CLASSES = [line.split() for line in (HERE / "golden_digest.txt").read_text().splitlines() if not line.startswith("#")]
CHANGELOG = HERE.parent / "CHANGELOG.md"


def golden(dtype, threads=2, flaw=0.0):
    """Twenty steps of the article's kind of model, in float32 with noise and cross-entropy, in float64 with squared errors alone:
    those need no exponential function, which would be the system's."""
    layers = [Dense(61, 47, np.random.default_rng(), dtype), ReLU(), Dense(47, 13, np.random.default_rng(), dtype), ReLU(),
              L1Activity(1e-3), Dense(13, 47, np.random.default_rng(), dtype), ReLU(),
              Dense(47, 61, np.random.default_rng(), dtype)]
    network, single = Network(layers), dtype == np.float32
    for i, array in enumerate(network.params.values()):  # by + - * alone, as the data
        array[...] = (philox.uniform(1, philox.WEIGHTS, i, np.zeros(1), array.size)[0].reshape(array.shape) - 0.5) / 4
    X = philox.uniform(2, philox.DATA, 0, np.arange(150), 61).astype(dtype)
    X[0, 0] += dtype(flaw)
    job = Job(network, BinaryCrossEntropy() if single else MeanSquaredError(), Adam(2.0**-9), X, X, 32, 3,
              GaussianNoise(0.25, clip=(0, 1)) if single else None)
    linked.load(dtype, linked.matrix_adam)
    driver.train(job, 4, {}, threads=threads)
    arrays = [*network.params.values(), job.optimizer.m, job.optimizer.v, driver.predict(network[:5], X, threads)]
    return hashlib.sha256(b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)).hexdigest()


def announced(classes, changelog):
    """Whether the classes are numbered from 1, and each but the first stands in the CHANGELOG."""
    numbers = [int(number) for number, *_ in classes]
    told = {int(number) for number in re.findall(r"digest class (\d+)", changelog)}
    return numbers == list(range(1, len(numbers) + 1)) and set(numbers[1:]) <= told


@pytest.mark.parametrize("column, dtype", [(1, np.float32), (2, np.float64)])
def test_D3_the_golden_digest(column, dtype):
    assert golden(dtype) == CLASSES[-1][column]


def test_D3_the_smallest_change_of_one_number_changes_the_digest():
    assert golden(np.float32, flaw=2.0**-24) != CLASSES[-1][1]


def test_D3_a_new_digest_is_announced():
    assert announced(CLASSES, CHANGELOG.read_text()) and all(len(digest) == 64 for _, *pair in CLASSES for digest in pair)
    assert not announced([["1", "a", "b"], ["2", "c", "d"]], "- Other bits.\n")  # the check can fail
    assert announced([["1", "a", "b"], ["2", "c", "d"]], "- Other bits (digest class 2).\n")
