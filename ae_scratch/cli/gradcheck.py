"""``ae-scratch gradcheck``: backprop against central differences, for any model the options can describe."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .options import at_least_one, command, seed_number
from .settings import MODEL, add_settings, given

EXAMPLES = """  ae-scratch gradcheck
  ae-scratch gradcheck --activation tanh --loss mse --l1-activity 1e-3 --activity-reduction sum --entries 500
"""
ARTICLE = {"l1_activity": 1e-5, "activity_reduction": "sum"}
LEFT_OUT = "scaling", "noise"  # which no gradient depends on


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "gradcheck", run, "[options]", "check backprop by differences",
                     "Compare backprop with central differences, in float64, on generated digits; by default for the article's\n"
                     "deep model with its L1 penalty (1e-5, added up over a batch). Exit code 3: a gradient is wrong.", EXAMPLES)
    parser.add_argument("--entries", type=at_least_one, default=50, metavar="N", help="entries of each parameter (default: 50)")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="of weights, data and entries (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_settings(parser, "model", [name for name in MODEL if name not in LEFT_OUT])


def run(options: argparse.Namespace) -> int:
    """Train for an epoch, check, print the report; return 3 if a gradient is wrong."""
    from ..autoencoder import Autoencoder
    from ..datasets import as_rows, make_digits

    X = as_rows(make_digits(640, options.seed)[0])
    model = Autoencoder(**{**ARTICLE, **given(options)}, epochs=1, engine="numpy", random_state=options.seed).fit(X)
    report = model.gradcheck(X, entries=options.entries, seed=options.seed)
    if options.json:
        checks = [check._asdict() for check in report.checks]
        print(json.dumps({"ok": report.ok, **report._asdict(), "checks": checks}, indent=1))
    else:
        print(f"{model!r}, after one epoch on generated digits, in float64\n\n{report}\n\n"
              f"{'all gradients are right' if report.ok else 'WRONG gradients'}")
    return 0 if report.ok else 3
