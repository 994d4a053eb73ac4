"""The compiled engine without the compiler, in a process of its own: see ``interpreted``."""

from processes import in_a_new_process

INTERPRETED = {"NUMBA_DISABLE_JIT": "1"}


def test_L5_the_compiled_engine_runs_as_plain_python():
    """Every operation against its definition; training, with all that a step may be made of, against NumPy's engine."""
    assert in_a_new_process("interpreted", "t.everything()", INTERPRETED) == "equal"


def test_L5_a_wrong_operation_is_seen():
    assert in_a_new_process("interpreted", "t.broken()", INTERPRETED) == "relu"
