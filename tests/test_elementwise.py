"""exp, log1p, tanh, sigmoid and softplus: against float64 NumPy over all of float32, and the same bits however compiled."""

import ast
import hashlib
import re

import numpy as np
import pytest
from numba import njit
from processes import AVX2, AVX512, in_a_new_process

from ae_scratch.kernels import elementwise

NAMES = ["exp", "log1p", "tanh", "sigmoid", "softplus"]
BOUNDS = {"exp": 1, "log1p": 1, "tanh": 1, "sigmoid": 1.1, "softplus": 1.4, "logistic": 1.5}  # units in the last place
BELOW_INFINITY = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity


def logarithm(x):
    return elementwise.logistic(x)[1]


def loop(name):
    scalar = njit(error_model="numpy")(logarithm if name == "logistic" else getattr(elementwise, name))

    @njit(error_model="numpy", nogil=True)
    def run(x, y):
        for i in range(x.size):
            y[i] = scalar(x[i])

    return run


LOOPS = {name: loop(name) for name in BOUNDS}


def apply(name, x):
    y = np.empty_like(x)
    LOOPS[name](x, y)
    return y


def expected(name, x):
    """The function in float64, by formulas that differ from the compiled ones where that is possible."""
    x = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if name == "logistic":
            return np.log1p(np.exp(-np.abs(x)))
        return np.logaddexp(0, x) if name == "softplus" else getattr(np, name)(x)


def ulps(got, exact):
    """Error in units of the last place that a float32 of the exact value's size has; infinite for a wrong infinity and NaN."""
    overflow = np.abs(exact) >= BELOW_INFINITY
    unit = np.ldexp(1.0, np.maximum(np.frexp(np.where(overflow | np.isnan(exact), 1, exact))[1] - 24, -149))
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - exact) / unit
    error[overflow] = np.where(np.isposinf(got[overflow]), 0, np.inf)
    error[np.isnan(error)] = np.inf
    return error


def arguments(name, bits):
    """The float32 numbers with these bits, without NaN and what the function is not made for."""
    x = bits.astype(np.uint32).view(np.float32)
    return x[x >= 0] if name == "log1p" else x[~np.isnan(x)]


def worst(name, x):
    error = ulps(apply(name, x), expected(name, x))
    return error.max(), x[error.argmax()]


@pytest.mark.parametrize("name", BOUNDS)
def test_N2_error_over_all_exponents(name):
    bits = np.random.default_rng(0).integers(0, 2**11, 2**21) + 2**11 * np.arange(2**21)  # one number of every 2048
    interesting = np.random.default_rng(1).uniform(-110, 110, 2**20).astype(np.float32).view(np.uint32)
    error, where = worst(name, arguments(name, np.concatenate([bits, interesting])))
    assert error <= BOUNDS[name], where


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_N2_error_of_every_float32(name):
    found = []
    for start in range(0, 2**32, 2**22):
        x = arguments(name, np.arange(start, start + 2**22, dtype=np.uint32))
        if x.size:
            found.append(worst(name, x))
    error, where = max(found)
    print(f"{name}: {error:.4f} units in the last place at {where.item().hex()}")
    assert error <= BOUNDS[name], where


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, cases", [
    ("exp", {0: 1, -0.0: 1, np.inf: np.inf, -np.inf: 0, -1e30: 0, 1e30: np.inf}),
    ("log1p", {0: 0, np.inf: np.inf}),
    ("tanh", {0: 0, np.inf: 1, -np.inf: -1, 1e30: 1, -1e30: -1}),
    ("sigmoid", {0: 0.5, -0.0: 0.5, np.inf: 1, -np.inf: 0, -1e30: 0, 1e30: 1}),
    ("softplus", {np.inf: np.inf, -np.inf: 0, -1e30: 0}),
])
def test_exact_values(name, cases, dtype):
    x = np.array([*cases, np.nan], dtype)
    assert np.array_equal(apply(name, x), np.array([*cases.values(), np.nan], dtype), equal_nan=True)


def test_ends_of_the_range_of_exp():
    largest, smallest = np.float32(88.72283), np.float32(-103.972076)  # the last arguments with a finite, a positive exponential
    beyond = np.nextafter(largest, np.float32(200)), np.nextafter(smallest, np.float32(-200))
    x = np.array([largest, beyond[0], smallest, beyond[1]], np.float32)
    assert np.isfinite(apply("exp", x)).tolist() == [True, False, True, True]
    assert (apply("exp", x) > 0).tolist() == [True, True, True, False]
    assert apply("exp", x)[2] == np.float32(2.0**-149) == apply("sigmoid", x)[2]


def test_tanh_is_odd_to_the_bit():
    x = np.append(np.random.default_rng(0).normal(0, 3, 10_001), [0, 1e-45]).astype(np.float32)
    assert apply("tanh", -x).tobytes() == (-apply("tanh", x)).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_never_falls(name):
    """Neighbours in float32 may swap by the last place, what lies a little further apart may not."""
    x = np.linspace(0 if name == "log1p" else -20, 20, 100_001).astype(np.float32)
    assert (np.diff(apply(name, x)) >= 0).all()


def test_N2_an_error_of_two_last_places_would_be_seen():
    x = np.random.default_rng(5).uniform(-80, 80, 1000).astype(np.float32)
    assert ulps(apply("exp", x) * np.float32(1 + 2**-22), expected("exp", x)).max() > 1.5


@pytest.mark.parametrize("name", NAMES)
def test_N2_neighbours_fall_by_the_last_place_at_most(name):
    x = arguments(name, np.random.default_rng(4).integers(0, 2**32, 2**17))
    x = x[np.abs(x) < 1e38]
    y, above = apply(name, x), apply(name, np.nextafter(x, np.float32(np.inf)))
    assert (above >= np.nextafter(y, np.float32(-np.inf))).all()


@pytest.mark.parametrize("name, value", [("exp", 1), ("sigmoid", 0.5), ("softplus", np.log(2)), ("tanh", None), ("log1p", None)])
def test_N2_subnormal_numbers(name, value):
    x = np.array([1e-45, 1e-42, 1.1754942e-38], np.float32)
    x = x if name == "log1p" else np.concatenate([x, -x])
    assert np.array_equal(apply(name, x), x if value is None else np.full_like(x, value))


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_the_library(name):
    x = np.linspace(0 if name == "log1p" else -700, 700, 1001)
    got = apply(name, x)
    assert got.dtype == np.float64
    assert np.allclose(got, expected(name, x), rtol=2e-15, atol=0)


def test_logistic_is_both_of_its_parts():
    x = np.random.default_rng(0).normal(0, 10, 1001).astype(np.float32)
    single = njit(lambda x: elementwise.logistic(x), error_model="numpy")
    pairs = np.array([single(value) for value in x], np.float32)
    assert pairs[:, 0].tobytes() == apply("sigmoid", x).tobytes()
    assert pairs[:, 1].tobytes() == apply("logistic", x).tobytes()


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "logistic"])
def test_every_nan_stays_nan(name):
    """The bits of NaN reach the exponent that a number is scaled by."""
    bits = np.concatenate([np.arange(0x7f800001, 0x80000000, 4099), np.arange(0xff800001, 0x100000000, 4099)])
    assert np.isnan(apply(name, bits.astype(np.uint32).view(np.float32))).all()


# ---- the same bits, however compiled ----------------------------------------------------------------------------------------


def sample(name):
    bits = np.random.default_rng(2).integers(0, 2**32, 1000)
    near = np.random.default_rng(3).uniform(-105, 89, 1003).astype(np.float32).view(np.uint32)
    return arguments(name, np.concatenate([bits, near]))


def digests():
    return [hashlib.sha256(apply(name, sample(name)).tobytes()).hexdigest() for name in NAMES]


def multiply_adds(name):
    """The widths of the registers of the fused multiply-adds in the compiled loop, and the functions of libm that it calls."""
    run = njit(["void(float32[::1], float32[::1])"], error_model="numpy")(LOOPS[name].py_func)
    code = "".join(run.inspect_asm().values())
    registers = {match[1] for match in re.finditer(r"\bvf\w*m(?:add|sub)\w*ps\s.*%([xyz]mm)\d+$", code, re.MULTILINE)}
    return registers, set(re.findall(r"\b(?:fmaf?|expf?|log1pf?|tanhf?)\b", code))


def test_golden_bits():
    """The same bytes on every machine with fused multiply-adds: trained weights rest on them. Pins every digit."""
    digest = hashlib.sha256()
    bits = [np.arange(0, 2**32, 4097), np.arange(0x3C000000, 0x42D00000, 67), np.arange(0xBC000000, 0xC2D00000, 67), [0x3EFFFFFF]]
    for name in NAMES:
        y = apply(name, arguments(name, np.concatenate(bits)))
        digest.update(y.astype("<f4").tobytes())
    assert digest.hexdigest() == "8641eb76a66fa3155c4fcd258d457e699df541fa4c8488d3326f359ae2588e14"


@pytest.mark.parametrize("name", NAMES)
def test_one_by_one_as_in_a_vector(name):
    x = sample(name)
    single = njit(error_model="numpy")(getattr(elementwise, name))
    assert np.array([single(value) for value in x], np.float32).tobytes() == apply(name, x).tobytes()


# The compiler takes half a register of this CPU for its own loops, unless it is told otherwise
WHOLE_REGISTERS = {**AVX512, "NUMBA_CPU_FEATURES": AVX512["NUMBA_CPU_FEATURES"] + ",-prefer-256-bit"}


@pytest.mark.parametrize("environment", [{"NUMBA_DISABLE_JIT": "1"}, AVX2], ids=["plain Python", "AVX2"])
def test_the_same_bits(environment):
    assert in_a_new_process("test_elementwise", "t.digests()", environment) == str(digests())


@pytest.mark.parametrize("environment, register", [(AVX2, "ymm"), (WHOLE_REGISTERS, "zmm")], ids=["AVX2", "AVX-512"])
def test_loops_become_vector_instructions(environment, register):
    """Compiled for that CPU, whether or not it is this one; nothing runs."""
    found = in_a_new_process("test_elementwise", "[t.multiply_adds(name) for name in t.NAMES]", environment)
    for name, (registers, calls) in zip(NAMES, ast.literal_eval(found)):
        assert register in registers, name
        assert not calls, name
