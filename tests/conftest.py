"""Strict floating point in every test: an overflow, a division by zero or an invalid operation is an error."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def strict_floating_point():
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield
