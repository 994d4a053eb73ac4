"""What holds for every test: one BLAS thread, strict floating point, and Ctrl-C as in a terminal."""

import os
import signal

# Small products gain nothing from a second thread, and two that wait for each other on a busy machine take many times longer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

# What a shell runs in the background, and all that it starts, would ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def strict_floating_point():
    """An overflow, a division by zero or an invalid operation is an error."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


@pytest.fixture
def path(tmp_path):
    """Where a model's file may stand."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def content(path):
    """The bytes of a small model's file, which stands at ``path``."""
    from test_persistence import fitted  # no test of other files needs it

    fitted().save(path)
    return path.read_bytes()
