"""``ae-scratch reproduce``: the article's experiments, with tables, pictures and results.json."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import at_least_one, command, say, seed_number

if TYPE_CHECKING:
    from ..experiments import Data, Outcome

NAMES = ("deep", "shallow", "denoising", "sparse", "copying", "data-specific", "code-size")
QUICK_IMAGES, QUICK_EPOCHS = (6_000, 1_000), 5

EXAMPLES = """  ae-scratch reproduce                      everything, on MNIST if found, else on generated digits
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


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "reproduce", run, "[experiment ...] [options]", "train the article's autoencoders",
                     "Train the article's autoencoders and set measured beside published figures.", EXAMPLES)
    parser.add_argument("experiments", nargs="*", choices=[*NAMES, "all"], default="all", metavar="experiment",
                        help="which experiments, all by default")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="DIR", help="folder of MNIST's files; by default $AE_SCRATCH_DATA, data/ and the cache")
    source.add_argument("--download", action="store_true", help="fetch MNIST into the cache if it is not found")
    parser.add_argument("--epochs", type=at_least_one, metavar="N", help="train for at most N epochs")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder for pictures and results.json (default: reproduction, or reproduction-quick)")
    parser.add_argument("--seed", type=seed_number, nargs="+", default=[0], metavar="S", help="one or more seeds (default: 0)")
    parser.add_argument("--engine", choices=("numpy", "numba"),
                        help="default: numba, compiled; numpy with --quick, which takes less time than compiling")
    parser.add_argument("--quick", action="store_true", help="6,000 images and at most 5 epochs: under a minute for everything")
    parser.add_argument("--json", action="store_true", help="print results.json instead of tables")


def run(options: argparse.Namespace) -> int:
    """Train, print tables or JSON, write pictures and results.json."""
    import tempfile  # slow to import, and no help needs it

    from .. import datasets, experiments, report

    started = time.perf_counter()
    names = NAMES if "all" in options.experiments else list(dict.fromkeys(options.experiments))
    show = say if options.json else print
    folder = options.out or Path("reproduction-quick" if options.quick else "reproduction")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "results.json").exists():
        say(f"the results of an earlier run in {folder} will be replaced")
    with tempfile.TemporaryFile(dir=folder):  # a folder that takes no files says so before the work
        pass
    dataset = datasets.load_images(options.data, options.download)
    data = experiments.prepare(dataset, *QUICK_IMAGES if options.quick else ())
    epochs = min(options.epochs or QUICK_EPOCHS, QUICK_EPOCHS) if options.quick else options.epochs
    how = experiments.Options(epochs, options.engine or ("numpy" if options.quick else "numba"))
    show(_about(data, options.quick))
    outcomes: dict[str, dict[int, Outcome]] = {name: {} for name in names}
    for name in names:
        for seed in options.seed:
            say(f"{name}, seed {seed}:")
            outcomes[name][seed] = experiments.EXPERIMENTS[name](data, seed, how)
        show(f"\n{report.tables(outcomes[name], dataset.name == 'MNIST' and not options.quick)}")
        done = {name: by_seed for name, by_seed in outcomes.items() if by_seed}
        results = report.results(data, done, time.perf_counter() - started)
        report.write_json(results, folder / "results.json")
        _draw(outcomes[name][options.seed[0]], folder)
    show(f"\n{folder / 'results.json'} holds all settings, histories and figures")
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
    from ..plots import save

    for name, draw in outcome.pictures.items():
        try:
            save(draw(), folder / name)
        except ImportError as error:
            say(f"no {name}: {error}")
