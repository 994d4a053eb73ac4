"""exp, log1p, sigmoid, softplus and tanh of one number, made of + - * / and fused multiply-adds alone.

The mathematical library is slow here (a call per number) and differs from machine to machine in the last bit. These functions
are plain arithmetic without a branch, so the compiler turns ``for i in range(x.size): y[i] = sigmoid(x[i])`` into vector
instructions, and since every operation is rounded as IEEE 754 says, the bits do not depend on how many lanes those have.

Each function reduces its argument to a short interval around 0 and evaluates a polynomial there. Three identities do it:

    e^x        = 2^n e^r              n = round(x / ln 2),  r = x - n ln 2,  |r| <= ln(2) / 2
    log(1 + x) = k ln 2 + log(1 + m)  1 + x = 2^k (1 + m),  -1/4 <= m <= 1/2
    log(1 + m) = 2 atanh(w)           w = m / (2 + m),      an odd function of w

Where one rounding too many would show, a number is kept as the unevaluated sum of a large and a small part, ``a + a_low``.

For float32 the error is below 1 unit in the last place (sigmoid: 1.05, softplus: 1.4, the logarithm of ``logistic``: 1.43),
measured over all 2^32 arguments; subnormal results are exact to the same measure, infinities go where they should, and NaN stays
NaN. For float64 the library's functions are called.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from .inner import INNER
from .simd import bits, fma, number

F = TypeVar("F", bound=Callable[..., Any])

compiled: Callable[[F], F] = register_jitable(**INNER)  # a function that stays plain Python for everyone else

# All of them float32: one Python number would turn a formula into float64, at half the lanes. Integers go back to int32 likewise.
ZERO, QUARTER, HALF, ONE, TWO, INFINITY = map(np.float32, (0, 0.25, 0.5, 1, 2, np.inf))
LOG2_E, LN_2, LN_2_LOW = (np.float32(float.fromhex(c)) for c in ("0x1.715476p+0", "0x1.62e430p-1", "-0x1.05c610p-29"))
ROUNDER = np.float32(1.5 * 2**23)  # numbers near it have no fraction: x + ROUNDER rounds x, and its last bits are that integer
EXP_MIN, EXP_MAX = np.float32(-104), np.float32(89)  # beyond them e^x is 0 and infinity
LOG1P_CUT = np.float32(0.75 + 2**-24)  # 3/4 itself would take 1 + x rounded up to 3/2 below -1/4, where m is not exact
SIGN = np.int32(-(2**31))  # the bit of the sign
TANH_MAX = np.float32(10)  # beyond it tanh is 1
LIFT, LOWER = np.int32(64), np.float32(2.0**-64)  # up by 2^64, where nothing is too small for float32, and down again

# e^r = 1 + r + r^2 p(r) on |r| <= ln(2) / 2, and log(1 + m) = m - w (m - w^2 a(w^2)), w = m / (2 + m), on [-1/4, 1]: minimax by
# the Remez exchange in float64; from the lowest on, each coefficient was rounded to float32 and the higher ones fitted again.
# The error relative to e^r - 1 is 1.5e-8, to log(1 + m) 4.6e-9.
P0, P1, P2, P3, P4 = (np.float32(float.fromhex(c)) for c in (
    "0x1.fffffep-2", "0x1.5554aap-3", "0x1.55579ep-5", "0x1.122c8cp-7", "0x1.6ab106p-10"))
A0, A1, A2, A3 = (np.float32(float.fromhex(c)) for c in ("0x1.555500p-1", "0x1.99d29ep-2", "0x1.1eb3a2p-2", "0x1.1f0578p-2"))


# ---- the pieces ----------------------------------------------------------------------------------------------------------


@compiled
def _power_of_two(n: Any) -> Any:
    """2^n for -126 <= n <= 127: n written into the bits of the exponent."""
    return number((n + 127) << 23)


@compiled
def _scale(x: Any, n: Any) -> Any:
    """x 2^n, in two steps: 2^n alone can leave float32's range where the product does not."""
    half = np.int32(n >> 1)
    return x * _power_of_two(half) * _power_of_two(n - half)


@compiled
def _shrink(x: Any, n: Any) -> Any:
    """x 2^n for -150 <= n <= 0, as x 2^(n + 64) 2^-64: 2^n alone can be too small. Half the work of ``_scale``."""
    return x * _power_of_two(n + LIFT) * LOWER


@compiled
def _nearest(x: Any) -> Any:
    """The integer nearest to x / ln 2, as a float32 and as an integer."""
    shifted = fma(x, LOG2_E, ROUNDER)
    return shifted - ROUNDER, np.int32(bits(shifted) - bits(ROUNDER))


@compiled
def _reduce(x: Any) -> Any:
    """n, r and r_low with e^x = 2^n (1 + r + r_low), where |r_low| is small beside r."""
    whole, n = _nearest(x)
    r = fma(whole, -LN_2, x)  # exact
    c = whole * -LN_2_LOW  # what LN_2 lacks of ln 2: apart, because r would round it away
    y = r + c
    p = fma(fma(fma(fma(P4, y, P3), y, P2), y, P1), y, P0)
    return n, r, fma(y * y, p, c)


@compiled
def _add_product(c: Any, s: Any, r: Any, r_low: Any) -> Any:
    """c + s (r + r_low) as a sum of two parts, for s a power of two and c = 0 or |c| > |s r|."""
    a = fma(s, r + r_low, c)
    return a, fma(s, r_low, fma(s, r, c - a))


@compiled
def _divide(a: Any, a_low: Any, b: Any, b_low: Any, inverse: Any) -> Any:
    """(a + a_low) / (b + b_low), given 1 / b: a quotient, and what its remainder adds to it."""
    q = a * inverse
    return fma(inverse, fma(-q, b, a) + fma(-q, b_low, a_low), q)


@compiled
def _log1p_rest(m: Any, change: Any) -> Any:
    """log(1 + m) - m + change for -1/4 <= m <= 1: log(1 + m) = 2 atanh(w) = 2 w + w^3 a(w^2), and 2 w = m - w m.

    By way of w there is one division more, and half the coefficients that a polynomial in m would need for the same error.
    """
    w = m / (TWO + m)
    u = w * w
    return fma(-w, fma(-u, fma(fma(fma(A3, u, A2), u, A1), u, A0), m), change)


# ---- float32 -------------------------------------------------------------------------------------------------------------


@compiled
def _exp(x: Any) -> Any:
    x = EXP_MIN if x < EXP_MIN else x
    x = EXP_MAX if x > EXP_MAX else x
    n, r, r_low = _reduce(x)
    return _scale(ONE + (r + r_low), n)


@compiled
def _log1p_of(x: Any, x_low: Any) -> Any:
    """log(1 + x + x_low) for finite x >= 0."""
    above = np.int32(bits(ONE + x) - bits(LOG1P_CUT))
    k = np.int32(above >> 23)  # 3/4 < (1 + x) / 2^k <= 3/2
    s = QUARTER * _power_of_two(2 - k)
    m = fma(x, s, s - ONE)
    return fma(np.float32(k), LN_2, m + _log1p_rest(m, x_low * s))


@compiled
def _log1p(x: Any) -> Any:
    y = _log1p_of(x, ZERO)
    return x if x == INFINITY else y


@compiled
def _tanh(x: Any) -> Any:
    """(e^2|x| - 1) / (e^2|x| + 1), with the sign of x."""
    y = abs(x)
    n, r, r_low = _reduce(TWO * (TANH_MAX if y > TANH_MAX else y))
    s = _power_of_two(n)
    b = s + ONE  # where this is rounded, b - 2 below must be the same number less 2
    numerator, numerator_low = _add_product(b - TWO, s, r, r_low)
    denominator, denominator_low = _add_product(b, s, r, r_low)
    y = _divide(numerator, numerator_low, denominator, denominator_low, ONE / denominator)
    return number(bits(y) | bits(x) & SIGN)


@compiled
def _decay(x: Any) -> Any:
    """1 + t = e^r, and in the low part what this sum rounds away. The polynomial p is the sum of two short ones, which the
    processor evaluates side by side, where each step of a long one would wait for the step before.
    """
    y = -abs(x)
    y = EXP_MIN if y < EXP_MIN else y
    whole, n = _nearest(y)
    r = fma(whole, -LN_2_LOW, fma(whole, -LN_2, y))
    square = r * r
    p = fma(fma(P4, square, fma(P3, r, P2)), square, fma(P1, r, P0))
    t = fma(square, p, r)
    e = ONE + t
    return _shrink(e, n), _shrink(t - (e - ONE), n)


@compiled
def _logistic_of(x: Any, e: Any, e_low: Any) -> Any:
    """Sigmoid is e / (1 + e) where x < 0, else 1 / (1 + e), by one division. The compiler makes a choice between a number and
    zero a bitwise "and", and ``b if a < b else a`` the instruction for the greater number; other choices take far longer.
    """
    step = ZERO if x < ZERO else ONE
    numerator = step if e < step else e  # the greater one: e where x < 0, else 1, because e <= 1
    b = ONE + e
    inverse = ONE / b  # also the derivative of log(1 + e)
    q = _divide(numerator, e_low if x < ZERO else ZERO, b, e - (b - ONE), inverse)
    return q, e + _log1p_rest(e, e_low * inverse)


@compiled
def _softplus(x: Any) -> Any:
    e, e_low = _decay(x)
    return (x if x > ZERO else ZERO) + _log1p_of(e, e_low)


# ---- both precisions -----------------------------------------------------------------------------------------------------


def _by_precision(single: Callable[..., Any], double: Callable[..., Any], x: Any, *others: Any) -> Any:
    """single(x, ...) if x is a float32, else double(x, ...)."""
    return (single if isinstance(x, np.float32) else double)(x, *others)


@overload(_by_precision, strict=False, jit_options=INNER)
def _by_type(single: Any, double: Any, x: Any, *others: Any) -> Any:
    if x == types.float32:
        return lambda single, double, x, *others: single(x, *others)
    return lambda single, double, x, *others: double(x, *others)


@compiled
def _decay_double(x: Any) -> Any:
    return np.exp(-abs(x)), 0.0


@compiled
def _logistic_of_double(x: Any, e: Any, e_low: Any) -> Any:
    return (e if x < 0 else 1.0) / (1.0 + e), np.log1p(e)


@compiled
def _softplus_double(x: Any) -> Any:
    return (x if x > 0 else 0.0) + np.log1p(np.exp(-abs(x)))


@compiled
def exp(x: Any) -> Any:
    """Return e^x.

    >>> float(exp(np.float32(1)))
    2.7182817459106445
    """
    return _by_precision(_exp, np.exp, x)


@compiled
def log1p(x: Any) -> Any:
    """Return log(1 + x) for x >= 0.

    >>> float(log1p(np.float32(1)))
    0.6931471824645996
    """
    return _by_precision(_log1p, np.log1p, x)


@compiled
def tanh(x: Any) -> Any:
    """Return tanh(x).

    >>> float(tanh(np.float32(0.5)))
    0.46211716532707214
    """
    return _by_precision(_tanh, np.tanh, x)


@compiled
def decay(x: Any) -> Any:
    """Return e and e_low with e^-|x| = e + e_low, of x's precision.

    >>> [float(y) for y in decay(np.float32(0))]
    [1.0, 0.0]
    """
    return _by_precision(_decay, _decay_double, x)


@compiled
def logistic_of(x: Any, e: Any, e_low: Any) -> Any:
    """Return sigmoid(x) and log(1 + e^-|x|), given ``decay(x)``."""
    return _by_precision(_logistic_of, _logistic_of_double, x, e, e_low)


@compiled
def logistic(x: Any) -> Any:
    """Return sigmoid(x) and log(1 + e^-|x|), what cross-entropy needs, from one exponential.

    >>> [float(y) for y in logistic(np.float32(0))]
    [0.5, 0.6931471824645996]
    """
    e, e_low = decay(x)
    return logistic_of(x, e, e_low)


@compiled
def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x), as e^x / (1 + e^x) where x < 0, so that nothing overflows and small values keep all their digits.

    >>> float(sigmoid(np.float32(-100)))
    3.783505853677006e-44
    """
    return logistic(x)[0]


@compiled
def softplus(x: Any) -> Any:
    """Return log(1 + e^x), as max(x, 0) + log(1 + e^-|x|).

    >>> float(softplus(np.float32(1000)))
    1000.0
    """
    return _by_precision(_softplus, _softplus_double, x)
