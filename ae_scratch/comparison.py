"""Comparing an answer with the right one: whether it is right, where it first differs, and which mistake it looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .kernels.reference import Array

ROUNDINGS = 1000  # units in the last place of the largest number: what sums in another order may differ by


class Verdict(NamedTuple):
    """What ``compare`` found; ``print`` shows it as a line, or some."""

    name: str
    verdict: str  # "exact", "rounding", "wrong", "follows" from an error before it, or "open" where there is no answer yet
    detail: str = ""  # of a wrong answer: where it first differs, or what is wrong with its shape
    hint: str = ""  # the mistake that it looks like

    @property
    def ok(self) -> bool:
        """Whether the answer is right, to rounding at least."""
        return self.verdict in ("exact", "rounding")

    def __str__(self) -> str:
        words = {"rounding": "right, to rounding", "wrong": "WRONG", "follows": "wrong, by an error before it",
                 "open": "not answered yet"}.get(self.verdict, "exact")
        lines = [f"{self.name:<24} {words}" + (f": {self.detail}" if self.detail else "")]
        return "\n".join([*lines, *([f"{'':<24} hint: {self.hint}"] if self.hint else [])])


def compare(name: str, mine: Any, reference: Any, mistakes: Mapping[str, Any] | None = None) -> Verdict:
    """Return whether ``mine`` is the array ``reference``: exactly, to rounding, or not; then the first index where they differ,
    and a hint if the answer looks like a common mistake.

    Right to rounding: no number is off by more than 1000 units in the last place of the largest. mistakes: what wrong answers
    would be, by the hints that go with them, beside those that are known for any array.

    >>> print(compare("db", [[1.0, 2.0], [3.0, 4.0]], np.array([4.0, 6.0])))
    db                       WRONG: expected shape (2,), got (2, 2)
                             hint: the sum over the rows is missing: what was broadcast forward is summed backward
    """
    expected = np.asarray(reference)
    try:
        got = np.asarray(mine, np.result_type(expected, np.float32))
    except (TypeError, ValueError):
        return Verdict(name, "wrong", f"expected an array of shape {expected.shape}, got {type(mine).__name__}")
    if got.shape == expected.shape and np.array_equal(got, expected):
        return Verdict(name, "exact")
    if _close(got, expected):
        return Verdict(name, "rounding")
    known = [hint for hint, wrong in (mistakes or {}).items() if _close(got, np.asarray(wrong))]
    return Verdict(name, "wrong", _difference(got, expected), next(iter([*known, *_hints(got, expected)]), ""))


def _close(got: Array, expected: Array) -> bool:
    tol = ROUNDINGS * np.finfo(np.result_type(expected, np.float32)).eps * np.abs(expected).max(initial=0)
    return got.shape == expected.shape and bool(np.all(np.abs(got - expected) <= tol))


def _difference(got: Array, expected: Array) -> str:
    """The shapes, or the first index where two arrays differ by more than rounding."""
    if got.shape != expected.shape:
        return f"expected shape {expected.shape}, got {got.shape}"
    tol = ROUNDINGS * np.finfo(np.result_type(expected, np.float32)).eps * np.abs(expected).max(initial=0)
    wrong = np.argwhere(~(np.abs(got - expected) <= tol))
    first = tuple(map(int, wrong[0]))
    return f"{len(wrong)} of {got.size} numbers, first at {list(first)}: expected {_pair(expected[first], got[first])}"


def _pair(expected: float, got: float) -> str:
    """Both numbers, with as many digits as tell them apart; -0 is 0 to whoever reads it."""
    digits = next((n for n in range(6, 17) if f"{expected:.{n}g}" != f"{got:.{n}g}"), 17)
    return f"{expected + 0:.{digits}g}, got {got + 0:.{digits}g}"


def _hints(got: Array, expected: Array) -> Iterator[str]:
    """The mistakes that any array can show."""
    if got.ndim > expected.ndim and any(_close(got.sum(axis=axis).reshape(-1), expected.reshape(-1)) for axis in range(got.ndim)):
        yield "the sum over the rows is missing: what was broadcast forward is summed backward"
    if got.ndim < expected.ndim:
        yield "too much was summed: the gradient of an array has its shape"
    if got.ndim == 2 and _close(got.T, expected):
        yield "this is the transpose of the answer: a transpose is missing, or the factors stand in the wrong order"
    if got.shape == expected.shape:
        yield from _elementwise(got, expected)


def _elementwise(got: Array, expected: Array) -> Iterator[str]:
    zero = expected == 0
    if np.isnan(got).any():
        yield "NaN: a division 0 / 0, or a logarithm of something that is not positive"
    elif not got.any():
        yield "all zeros: the gradient that comes in was not passed on"
    elif zero.any() and not zero.all() and _close(np.where(zero, 0, got), expected):
        yield "right, except where the gradient is 0: a mask is missing (a unit that was off passes nothing back)"
    elif np.allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max()):
        yield "right to five digits: computed in float32?"
    elif _close(-got, expected):
        yield "the sign is wrong"
    else:
        ratio = float(np.sum(got * expected) / np.sum(expected * expected)) if expected.any() else 0.0
        if ratio and _close(got / ratio, expected):
            yield (f"{ratio:.6g} times too large: a factor 1/{ratio:.6g} is missing, such as 1/N of a mean" if ratio > 1 else
                   f"{1 / ratio:.6g} times too small: a mean where a sum belongs, or a factor too many")
