"""The command ``ae-scratch``: data on standard output, messages and progress on standard error.

Exit codes: 0 done, 1 failed, 2 usage, 3 a check failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import DataFormatError, DivergedError

if TYPE_CHECKING:
    from .experiments import Data, Outcome

NAMES = ("deep", "shallow", "denoising", "sparse", "copying", "data-specific", "code-size")
ACTIVATIONS, LOSSES = ("relu", "sigmoid", "tanh", "identity"), ("binary_crossentropy", "mse")
QUICK_IMAGES, QUICK_EPOCHS = (6_000, 1_000), 5

OVERVIEW = """examples:
  ae-scratch reproduce --quick              every experiment, small, in less than a minute
  ae-scratch reproduce all --data mnist/    the article's experiments at full size, on MNIST
  ae-scratch gradcheck                      backprop against central differences
  ae-scratch bench --help                   how fast it is, beside other libraries (in the source repository)
"""
REPRODUCE = """examples:
  ae-scratch reproduce                      everything, on MNIST if found, else on generated digits
  ae-scratch reproduce deep sparse --seed 0 1 2 --data mnist/
  ae-scratch reproduce --quick --json > results.json

experiments of the article:
  deep            784-128-32-128-784, 3 epochs
  shallow         784-32-784, 5 epochs
  denoising       the deep model on noisy images, 10 epochs
  sparse          784-32-784 without and with an L1 penalty on the code, 20 epochs each
what the article claims, made visible:
  copying         a too powerful autoencoder copies its input, a small one cannot
  data-specific   trained on digits, it cannot compress other images
  code-size       reconstruction error against code size, beside PCA
"""
GRADCHECK = """examples:
  ae-scratch gradcheck
  ae-scratch gradcheck --activation tanh --loss mse --l1-activity 1e-3 --activity-reduction sum --entries 500
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (DataFormatError, DivergedError, OSError, ValueError, TypeError) as error:
        print(f"ae-scratch: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; each command stores the function that runs it."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("ae-scratch", description="Autoencoders from scratch.", epilog=OVERVIEW, formatter_class=raw)
    top.add_argument("--version", action="version", version=f"ae-scratch {__version__}")
    commands = top.add_subparsers(metavar="command", required=True)
    reproduce = commands.add_parser("reproduce", formatter_class=raw, epilog=REPRODUCE, help="train the article's autoencoders",
                                    description="Train the article's autoencoders and set measured beside published figures.")
    _add_reproduce(reproduce)
    gradcheck = commands.add_parser("gradcheck", formatter_class=raw, epilog=GRADCHECK, help="check backprop by differences",
                                    description="Compare backprop with central differences, in float64, on generated digits.")
    _add_gradcheck(gradcheck)
    bench = commands.add_parser("bench", add_help=False, prefix_chars="\0",  # nothing is an option here: everything is handed on
                                help="measure how fast it is (source repository only)")
    bench.add_argument("arguments", nargs="*")
    bench.set_defaults(run=_bench)
    return top


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiments", nargs="*", choices=[*NAMES, "all"], default="all", metavar="experiment",
                        help="which experiments, all by default")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="DIR", help="folder of MNIST's files; by default $AE_SCRATCH_DATA, data/ and the cache")
    source.add_argument("--download", action="store_true", help="fetch MNIST into the cache if it is not found")
    parser.add_argument("--epochs", type=_at_least_one, metavar="N", help="train for at most N epochs")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder for pictures and results.json (default: reproduction, or reproduction-quick)")
    parser.add_argument("--seed", type=_seed, nargs="+", default=[0], metavar="S", help="one or more seeds (default: 0)")
    parser.add_argument("--engine", choices=("numpy", "numba"),
                        help="default: numba, compiled; numpy with --quick, which takes less time than compiling")
    parser.add_argument("--quick", action="store_true", help="6,000 images and at most 5 epochs: under a minute for everything")
    parser.add_argument("--json", action="store_true", help="print results.json instead of tables")
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    from . import datasets, experiments, report

    started = time.perf_counter()
    names = NAMES if "all" in options.experiments else list(dict.fromkeys(options.experiments))
    say = _to_stderr if options.json else print
    folder = options.out or Path("reproduction-quick" if options.quick else "reproduction")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "results.json").exists():
        _to_stderr(f"the results of an earlier run in {folder} will be replaced")
    with tempfile.TemporaryFile(dir=folder):  # a folder that takes no files says so before the work
        pass
    dataset = datasets.load_images(options.data, options.download)
    data = experiments.prepare(dataset, *QUICK_IMAGES if options.quick else ())
    epochs = min(options.epochs or QUICK_EPOCHS, QUICK_EPOCHS) if options.quick else options.epochs
    how = experiments.Options(epochs, options.engine or ("numpy" if options.quick else "numba"))
    say(_about(data, options.quick))
    outcomes: dict[str, dict[int, Outcome]] = {name: {} for name in names}
    for name in names:
        for seed in options.seed:
            _to_stderr(f"{name}, seed {seed}:")
            outcomes[name][seed] = experiments.EXPERIMENTS[name](data, seed, how)
        say(f"\n{report.tables(outcomes[name], dataset.name == 'MNIST' and not options.quick)}")
        done = {name: by_seed for name, by_seed in outcomes.items() if by_seed}
        results = report.results(data, done, time.perf_counter() - started)
        report.write_json(results, folder / "results.json")
        _draw(outcomes[name][options.seed[0]], folder)
    say(f"\n{folder / 'results.json'} holds all settings, histories and figures")
    if options.json:
        print(report.to_json(results))
    return 0


def _about(data: Data, quick: bool) -> str:
    lines = [f"{data.dataset.name}: {len(data.X):,} training and {len(data.X_test):,} test images ({data.dataset.source})"]
    if data.dataset.name != "MNIST":
        lines.append("The published figures are MNIST's: what is measured on other images cannot be compared with them.\n"
                     "For MNIST, name a folder that has its files (--data DIR) or let it be fetched (--download).")
    elif quick:
        lines.append("The published figures are those of 60,000 images and more epochs: no quick run reaches them.")
    return "\n".join(lines)


def _draw(outcome: Outcome, folder: Path) -> None:
    """Save the pictures; without matplotlib, say that there are none and go on."""
    from .plots import save

    for name, draw in outcome.pictures.items():
        try:
            save(draw(), folder / name)
        except ImportError as error:
            _to_stderr(f"no {name}: {error}")


def _add_gradcheck(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hidden-sizes", type=_at_least_one, nargs="*", default=[128], metavar="N", help="of the hidden layers (default: 128)")
    add("--code-size", type=_at_least_one, default=32, metavar="N", help="units of the code (default: 32)")
    add("--activation", default="relu", choices=ACTIVATIONS, help="of the hidden layers (default: relu)")
    add("--code-activation", default="relu", choices=ACTIVATIONS, help="of the code (default: relu)")
    add("--output-activation", choices=ACTIVATIONS, help="of the output (default: the loss's own)")
    add("--loss", default="binary_crossentropy", choices=LOSSES, help="default: binary_crossentropy")
    add("--l1-activity", type=float, default=1e-5, metavar="LAM", help="L1 penalty on the code (default: 1e-5)")
    add("--activity-reduction", default="sum", choices=("sum", "mean"), help="over the rows of a batch (default: sum)")
    add("--entries", type=_at_least_one, default=50, metavar="N", help="entries of each parameter (default: 50)")
    add("--seed", type=_seed, default=0, metavar="S", help="of weights, data and the choice of entries (default: 0)")
    add("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_gradcheck)


def _gradcheck(options: argparse.Namespace) -> int:
    from .autoencoder import Autoencoder
    from .datasets import as_rows, make_digits

    settings = {name: value for name, value in vars(options).items() if name not in ("run", "entries", "seed", "json")}
    X = as_rows(make_digits(640, options.seed)[0])
    model = Autoencoder(**settings, epochs=1, engine="numpy", random_state=options.seed).fit(X)
    report = model.gradcheck(X, entries=options.entries, seed=options.seed)
    if options.json:
        checks = [check._asdict() for check in report.checks]
        print(json.dumps({"ok": report.ok, **report._asdict(), "checks": checks}, indent=1))
    else:
        print(f"{model!r}, after one epoch on generated digits, in float64\n\n{report}\n\n"
              f"{'all gradients are right' if report.ok else 'WRONG gradients'}")
    return 0 if report.ok else 3


def _bench(options: argparse.Namespace) -> int:
    """Run the folder ``benchmarks`` of a source checkout, with the arguments as they are."""
    for folder in (Path(__file__).resolve().parent.parent, Path.cwd()):
        if (folder / "benchmarks" / "__main__.py").exists():
            path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "benchmarks", *options.arguments]
            return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode
    raise FileNotFoundError("the benchmarks belong to the source repository: run this in its folder, the one with benchmarks/")


def _at_least_one(text: str) -> int:
    return _whole(text, 1, "at least 1")


def _seed(text: str) -> int:
    return _whole(text, 0, "from 0 to 4294967295", 2**32 - 1)


def _whole(text: str, least: int, range_: str, most: float = float("inf")) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number {range_}, got {text!r}")
    return int(text)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
