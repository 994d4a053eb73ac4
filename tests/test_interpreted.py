"""The compiled engine without the compiler, in a process of its own (see ``interpreted``), and where the compiler leaves it."""

from typing import NamedTuple

import numba
import numpy as np
import pytest
from processes import in_a_new_process

from ae_scratch import engine

INTERPRETED = {"NUMBA_DISABLE_JIT": "1"}


class Pair(NamedTuple):
    """A named tuple that is no layer."""

    first: int
    second: float


def test_L5_the_compiled_engine_runs_as_plain_python():
    """Every operation against its definition; training, with all that a step may be made of, against NumPy's engine."""
    assert in_a_new_process("interpreted", "t.everything()", INTERPRETED) == "equal"


def test_L5_a_wrong_operation_is_seen():
    assert in_a_new_process("interpreted", "t.broken()", INTERPRETED) == "relu"


@pytest.mark.parametrize("call", [".forward(X, X)", ".input_gradient(X, X, X, X)", ".parameter_gradients(X, X, X, X)",
                                  ".strength(1)", ".mean(X)", "['first']"])
def test_L5_named_tuples_that_are_no_layers_have_no_such_methods(call):
    """The methods of layers are taught to Numba for all named tuples; others must not get them."""
    assert engine.train  # all of it was imported
    namespace = {}
    exec(f"def run(pair, X):\n    return pair{call}", namespace)
    with pytest.raises(numba.core.errors.TypingError):
        numba.njit(namespace["run"])(Pair(1, 2.0), np.zeros((2, 2)))
