"""Gradient checks: what backprop says against what the objective itself does when one number is moved a little.

Works on any callable and imports nothing but NumPy, so it can share no mistake with what it checks. Differences see only as
far as rounding lets them: they want float64, and a step h around 1e-5, where the error h^2 of the formula and the rounding
error / h are both small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def numerical_gradient(f: Callable[[Array], float], x: Array, h: float = 1e-5, entries: NDArray[np.intp] | None = None) -> Array:
    """Return the central differences (f(x + h e_i) - f(x - h e_i)) / 2h, shaped like x.

    x (float64) is moved in place, one entry at a time, and restored: f may read it as its argument or as a part of some model.
    entries: flat indices to compute, all by default; the others are NaN.

    Raises TypeError if x is not float64: in single precision the differences are mostly rounding error.

    >>> numerical_gradient(lambda x: float(x[0] ** 2 * x[1]), np.array([3.0, 2.0])).round(6).tolist()
    [12.0, 9.0]
    """
    if x.dtype != np.float64:
        raise TypeError(f"expected x in float64, got {x.dtype}: differences of float32 values are mostly rounding error")
    gradient = np.full(x.shape, np.nan)
    for i in range(x.size) if entries is None else entries:
        index = np.unravel_index(i, x.shape)
        value = x[index]
        try:
            x[index] = above = value + h
            f_above = f(x)
            x[index] = below = value - h
            gradient[index] = (f_above - f(x)) / (above - below)  # the step that was really taken, after rounding
        finally:
            x[index] = value
    return gradient


class Check(NamedTuple):
    """One parameter's verdict: the entry with the largest relative error, how many were compared, whether all were close
    enough."""

    name: str
    shape: tuple[int, ...]
    compared: int
    worst: tuple[int, ...]
    analytic: float
    numeric: float
    error: float  # |analytic - numeric| / max(|analytic|, |numeric|, 0.01 max |numeric|)
    ok: bool


class Sweep(NamedTuple):
    """One entry's error for many steps h; ``print(sweep)`` draws it.

    Of a right gradient the error falls as h^2, that of the formula, and rises again as 1 / h, rounding; of a wrong one it stays.
    """

    name: str
    entry: tuple[int, ...]
    analytic: float
    h: list[float]
    error: list[float]  # |analytic - numeric|

    def __str__(self) -> str:
        levels = [round(float(np.log10(max(error, 1e-300)))) for error in self.error]
        top = max(levels)
        bottom = max(min(levels), top - 14)
        lines = [f"1e{level:+03d} |" + "".join(" *" if max(each, bottom) == level else "  " for each in levels)
                 for level in range(top, bottom - 1, -1)]
        marks = "".join(f"{f'1e{round(np.log10(h)):+03d}':<8}" for h in self.h[::4])
        title = f"error of {self.name}{list(self.entry)}, where backprop says {self.analytic:.6e}, by the step h:"
        return "\n".join([title, *(line.rstrip() for line in lines), f"{'':6}+{'--' * len(levels)}", f"{'':7} {marks}".rstrip()])


class Report(NamedTuple):
    """The checks of all parameters; ``print(report)`` shows them as a table, ``print(report.sweep)`` one entry's error by the
    step: the worst if a gradient is wrong, or else the entry with the most curvature."""

    checks: list[Check]
    h: float
    tol: float
    rounding: float  # what rounding the objective alone can do to a difference: allowed beside tol
    sweep: Sweep

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        width = max(len("parameter"), *(len(check.name) for check in self.checks))
        row = f"{{:<{width}}} {{:>12}} {{:>8}} {{:>12}} {{:>14}} {{:>14}} {{:>8}}  {{}}"
        lines = [row.format("parameter", "shape", "compared", "worst entry", "analytic", "numeric", "error", "").rstrip()]
        for check in self.checks:
            shape, worst = (str(numbers).replace(" ", "") for numbers in (check.shape, check.worst))
            lines.append(row.format(check.name, shape, check.compared, worst, f"{check.analytic:.6e}", f"{check.numeric:.6e}",
                                    f"{check.error:.1e}", "ok" if check.ok else "WRONG"))
        rule = (f"ok: |a - n| <= {self.tol:g} max(|a|, |n|, max |n| / 100) + {self.rounding:.1e}, which rounding does to a "
                f"difference of step {self.h:g}")
        return "\n".join([*lines, rule])


def check_gradients(f: Callable[[], float], params: Mapping[str, Array], grads: Mapping[str, Any], h: float = 1e-5,
                    tol: float = 1e-7, entries: int | None = None, seed: int = 0) -> Report:
    """Compare ``grads`` with central differences of f, which is called without arguments and reads ``params``.

    An entry is right if |a - n| <= tol max(|a|, |n|, 0.01 max |n|) + 4 eps |f| / h, with a analytic, n numeric, the maximum
    over the parameter's compared entries; the last term is what rounding f alone can do to n. entries: compare so many, drawn
    by ``seed``, in each parameter.

    Raises ValueError if the names or shapes of ``params`` and ``grads`` differ.

    >>> w = np.array([1.0, -2.0])
    >>> check_gradients(lambda: float((w ** 2).sum()), {"w": w}, {"w": 2 * w}).ok
    True
    >>> check_gradients(lambda: float((w ** 2).sum()), {"w": w}, {"w": w}).ok
    False
    """
    shapes = {name: (x.shape, np.shape(grads[name]) if name in grads else None) for name, x in params.items()}
    if set(params) != set(grads) or any(x != g for x, g in shapes.values()):
        raise ValueError(f"expected gradients named and shaped like the parameters {({n: x.shape for n, x in params.items()})}, "
                         f"got {({n: np.shape(g) for n, g in grads.items()})}")
    rng, rounding = np.random.default_rng(seed), float(4 * np.finfo(np.float64).eps * abs(f()) / h)
    checks = []
    for name, x in params.items():
        some = entries is not None and entries < x.size
        chosen = np.sort(rng.choice(x.size, entries, replace=False)) if some else np.arange(x.size)
        numeric = numerical_gradient(lambda _: f(), x, h, chosen).ravel()[chosen]
        analytic = np.asarray(grads[name], np.float64).ravel()[chosen]
        checks.append(_check(name, x.shape, chosen, analytic, numeric, tol, rounding))
    return Report(checks, h, tol, rounding, _sweep(f, params, grads, checks))


def sweep(f: Callable[[], float], name: str, x: Array, index: tuple[int, ...], analytic: float) -> Sweep:
    """Return the error of one entry's analytic gradient against central differences of steps from 1 down to 1e-12."""
    steps = [10.0 ** (-k / 2) for k in range(25)]
    entry = np.array([np.ravel_multi_index(index, x.shape)])
    numeric = [float(numerical_gradient(lambda _: f(), x, h, entry)[index]) for h in steps]
    return Sweep(name, index, analytic, steps, [abs(analytic - each) for each in numeric])


def _sweep(f: Callable[[], float], params: Mapping[str, Array], grads: Mapping[str, Any], checks: list[Check]) -> Sweep:
    """Of the worst entry if a gradient is wrong; or else, of each parameter's largest gradients, the one whose difference is off
    most for a large step."""
    wrong = [check for check in checks if not check.ok]
    if wrong:
        worst = max(wrong, key=lambda check: np.inf if np.isnan(check.error) else check.error)
        return sweep(f, worst.name, params[worst.name], worst.worst, worst.analytic)
    found = []
    for name, x in params.items():
        gradient = np.asarray(grads[name], np.float64)
        index = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(gradient)), x.shape))
        found.append((name, x, index, float(gradient[index])))
    bends = [abs(_bend(f, x, index, analytic)) for _, x, index, analytic in found]
    return sweep(f, *found[int(np.argmax(bends))])


def _bend(f: Callable[[], float], x: Array, index: tuple[int, ...], analytic: float) -> float:
    """Return what a difference of step 0.1 is off by, relative to the gradient."""
    entry = np.array([np.ravel_multi_index(index, x.shape)])
    return (float(numerical_gradient(lambda _: f(), x, 0.1, entry)[index]) - analytic) / (abs(analytic) or 1.0)


def _check(name: str, shape: tuple[int, ...], chosen: NDArray[np.intp], analytic: Array, numeric: Array,
           tol: float, rounding: float) -> Check:
    difference = np.abs(analytic - numeric)
    size = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), 0.01 * np.abs(numeric).max())
    error = np.divide(difference, size, out=np.zeros_like(size), where=size != 0)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    index = tuple(int(i) for i in np.unravel_index(chosen[worst], shape))
    ok = bool(np.all(difference <= tol * size + rounding))  # NaN compares false: a NaN is wrong
    return Check(name, shape, len(chosen), index, float(analytic[worst]), float(numeric[worst]), float(error[worst]), ok)
