"""``ae-scratch gradcheck``: backprop against central differences, for any model the options can describe."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from .options import add_output, at_least_one, command, put_json, require_free, say, seed_number
from .settings import MODEL, add_settings, given

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder
    from ..gradcheck import Report, Sweep

EXAMPLES = """  ae-scratch gradcheck
  ae-scratch gradcheck --activation tanh --loss mse --l1-activity 1e-3 --activity-reduction sum --entries 500
  ae-scratch gradcheck --break relu-mask              with a bug in the backward pass: see how the check sees it
  ae-scratch gradcheck --break list                   which bugs there are
"""
ARTICLE = {"l1_activity": 1e-5, "activity_reduction": "sum"}
LEFT_OUT = "scaling", "noise"  # which no gradient depends on


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "gradcheck", run, "[options]", "check backprop by differences",
                     "Compare backprop with central differences, in float64, on generated digits; by default for the article's\n"
                     "deep model with its L1 penalty (1e-5, added up over a batch). Exit code 3: a gradient is wrong.\n\n"
                     "Of one entry it draws the error by the step h: of a right gradient it falls as h^2, the error of the\n"
                     "formula, and rises again as 1/h, rounding; of a wrong one it stays.", EXAMPLES)
    parser.add_argument("--entries", type=at_least_one, default=50, metavar="N", help="entries of each parameter (default: 50)")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="of weights, data and entries (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--break", dest="bug", metavar="BUG", type=_bug,
                        help="plant a bug in the backward pass, in a model that shows it; list: name them all")
    add_output(parser, "a picture of the error by the step (needs matplotlib)")
    add_settings(parser, "model", [name for name in MODEL if name not in LEFT_OUT])


def run(options: argparse.Namespace) -> int:
    """Train for an epoch, check, print the report; return 3 if a gradient is wrong."""
    from ..autoencoder import Autoencoder
    from ..bugs import BUGS, planted
    from ..datasets import as_rows, make_digits

    if options.bug == "list":
        print("\n".join(f"{name:<20} {bug.what}" for name, bug in BUGS.items()))
        return 0
    require_free(options.output, options.force)
    shows = BUGS[options.bug].settings if options.bug else {}
    X = as_rows(make_digits(640, options.seed)[0])
    settings = {**ARTICLE, **shows, **given(options)}
    model = Autoencoder(**settings, epochs=1, engine="numpy", random_state=options.seed).fit(X)
    with planted(options.bug) if options.bug else nullcontext():
        report = model.gradcheck(X, entries=options.entries, seed=options.seed)
    if options.json:
        checks = [check._asdict() for check in report.checks]
        put_json({"ok": report.ok, **report._asdict(), "checks": checks, "sweep": report.sweep._asdict()})
    else:
        broken = f", broken: {BUGS[options.bug].what}" if options.bug else ""
        print(f"{model!r}, after one epoch on generated digits, in float64{broken}\n\n{_lesson(report, model, X)}")
    if options.output:
        _picture(report.sweep, options)
        say(f"{options.output}: the error of {report.sweep.name}{list(report.sweep.entry)} by the step")
    return 0 if report.ok else 3


def _bug(name: str) -> str:
    from ..bugs import BUGS
    from ..inputs import choose

    try:
        return choose(name, [*BUGS, "list"], "bug")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _lesson(report: Report, model: Autoencoder, X: np.ndarray) -> str:
    """The table, the error by the step, the kinks, and the verdict."""
    wrong = [check.name for check in report.checks if not check.ok]
    verdict = f"WRONG gradients: {', '.join(wrong)}" if wrong else "all gradients are right"
    return f"{report}\n\n{report.sweep}\n\n{_kinks(model, X)}\n\n{verdict}"


def _kinks(model: Autoencoder, X: np.ndarray) -> str:
    """How many rows come too close to a kink, and what a difference makes of one."""
    from ..autoencoder import KINK_MARGIN
    from ..gradcheck import numerical_gradient
    from ..kernels import reference as ops

    close = int((model.network_.kink_distance(X.astype(model.network_.dtype)) <= KINK_MARGIN).sum())
    zero = np.zeros(1)
    difference = numerical_gradient(lambda x: float(ops.relu(x)[0]), zero.copy())[0]
    backprop = ops.relu_backward(np.ones(1), ops.relu(zero))[0]
    return (f"kinks: {close} of {len(X)} rows bring a unit within {KINK_MARGIN:g} of 0, where a derivative jumps: left out\n"
            f"at 0 a difference says relu' = {difference:g}, the mean of both sides, and backprop {backprop:g}, by convention")


def _picture(sweep: Sweep, options: argparse.Namespace) -> None:
    from ..plots.style import plot_axes, save

    figure, axes = plot_axes(None, f"{sweep.name}{list(sweep.entry)}", "step h", "error of the difference")
    axes.loglog(sweep.h, np.maximum(sweep.error, 1e-300), marker="o")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 1e-8 * high), high)  # what stays looks flat, beside what falls by many powers of ten
    save(figure, options.output)
