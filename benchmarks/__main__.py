"""The command ``python -m benchmarks``: progress on standard error, tables on standard output, results.json and pictures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_scratch.datasets import as_rows, load_images
from ae_scratch.files import replacing

from . import pictures, report, training
from .alone import alone
from .contestants import CONTESTANTS, FASTEST
from .machine import ROOT, cores, describe
from .race import Settings

HELP = """examples:
  python -m benchmarks --quick                     everything, small, in some minutes
  python -m benchmarks epoch --threads 1 2         the article's epoch beside all peers that are installed
  python -m benchmarks epoch --batch 32 256 --peers jax-scan torch-by-hand --python ~/frameworks/bin/python
  python -m benchmarks roofline ladder             the machine's limits, and how close to them products come
  python -m benchmarks readme                      write the README's section from benchmarks/results.json

benchmarks:
  roofline    arithmetic and bandwidth that this machine can do at most, and the floor of an epoch
  ladder      matrix products from three loops to tiles, beside NumPy's
  operations  exp, sigmoid, cross-entropy, Adam, ..., compiled and as NumPy does them
  epoch       the article's model, 784-128-32-128-784
  growth      the same 1, 2, 4 and 8 times as wide
  depth       the same with 0, 1, 2, 4 and 8 hidden layers on each side
  encode      the codes of all images
  cold        from the start of a process to the end of its first epoch; import; peak memory

peers, each in a process of its own (--peers all, none, or some of them):
"""
QUICK_IMAGES = 6_400
GROWTH_IMAGES = 6_400  # enough for a steady speed; wide models take long
CUBES = 1024, 4096


class Run(NamedTuple):
    """What the command line asked for; X: the images, in rows."""

    X: np.ndarray
    settings: Settings
    threads: list[int]
    batches: list[int]
    quick: bool
    full: bool

    @property
    def seconds(self) -> float:
        """Least duration of what is measured in one go."""
        return 0.01 if self.quick else 0.1

    @property
    def fastest(self) -> Settings:
        """With the fastest forms only, if nobody was named."""
        names = self.settings.names
        return self.settings._replace(names=FASTEST if names == tuple(CONTESTANTS) else names)


def roofline(run: Run) -> Iterator[tuple[str, Any]]:
    sizes, n = training.ARTICLE, len(run.X)
    parameters = sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))
    for threads in run.threads:
        limits = alone("roofline", threads, seconds=run.seconds, **({"largest": 1 << 24} if run.quick else {}))
        from .roofline import floor  # imports Numba, which --help does without

        limits["floor"] = floor(limits, training.flops(sizes, n), parameters, -(-n // report.FLOOR_BATCH), n * sizes[-1])
        yield f"{threads} threads", {"threads": threads, **limits}


def ladder(run: Run) -> Iterator[tuple[str, Any]]:
    cubes = [] if run.quick else CUBES if run.full else CUBES[:1]
    yield "1 threads", {"shapes": alone("ladder", 1, seconds=run.seconds, sizes=cubes)}


def operations(run: Run) -> Iterator[tuple[str, Any]]:
    yield "1 threads", {"operations": alone("operations", 1, seconds=run.seconds)}


def epoch(run: Run) -> Iterator[tuple[str, Any]]:
    for batch in run.batches:
        for threads in run.threads:
            yield f"batch {batch}, {threads} threads", training.epoch(run.X, training.ARTICLE, batch, threads, run.settings)


def growth(run: Run) -> Iterator[tuple[str, Any]]:
    for batch in (32, 256):
        for k in (1, 2) if run.quick else (1, 2, 4, 8):
            sizes = training.widened(k)
            yield f"batch {batch}, width {k}", training.epoch(run.X[:GROWTH_IMAGES], sizes, batch, run.threads[-1], run.fastest)


def depth(run: Run) -> Iterator[tuple[str, Any]]:
    for layers in (0, 1) if run.quick else (0, 1, 2, 4, 8):
        sizes = training.deepened(layers)
        yield f"depth {layers}", training.epoch(run.X[:GROWTH_IMAGES], sizes, 32, run.threads[-1], run.fastest)


def encode(run: Run) -> Iterator[tuple[str, Any]]:
    for threads in run.threads:
        yield f"{threads} threads", training.encode(run.X, training.ARTICLE, threads, run.settings)


def cold(run: Run) -> Iterator[tuple[str, Any]]:
    yield f"{run.threads[-1]} threads", training.cold(run.X, training.ARTICLE, run.threads[-1], run.settings)


BENCHMARKS: dict[str, Callable[[Run], Iterator[tuple[str, Any]]]] = {
    "roofline": roofline, "ladder": ladder, "operations": operations, "epoch": epoch, "growth": growth, "depth": depth,
    "encode": encode, "cold": cold}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.benchmarks == ["readme"]:
            report.write_readme(json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8")), ROOT / "README.md")
        else:
            run_all(options)
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    peers = "\n".join(f"  {name:<22}{contestant.label}" for name, contestant in CONTESTANTS.items())
    top = argparse.ArgumentParser("python -m benchmarks", formatter_class=argparse.RawDescriptionHelpFormatter,
                                  description="Measure ae_scratch beside this machine's limits and beside other libraries.",
                                  epilog=HELP + peers)
    add = top.add_argument
    add("benchmarks", nargs="*", metavar="benchmark", help="which ones, all by default; or readme")
    add("--quick", action="store_true", help="6,400 images, 2 rounds, small sizes: to see that everything works")
    add("--full", action="store_true", help="the ladder up to 4096 cubed as well")
    add("--threads", type=positive, nargs="+", default=sorted({1, cores()}), metavar="N", help="default: 1, and all processors")
    add("--batch", type=positive, nargs="+", default=[32, 128, 256, 1024], metavar="N",
        help="rows of a step, for epoch (default: 32 128 256 1024)")
    add("--peers", nargs="+", choices=["all", "none", *CONTESTANTS], default=["all"], metavar="PEER", help="default: all")
    add("--rounds", type=positive, metavar="N", help="timed ones, after one to warm up (default: 5, or 2 if quick)")
    add("--data", metavar="DIR", help="folder of MNIST's files; where there are none, digits are generated")
    add("--images", type=positive, metavar="N", help="use the first N only")
    add("--python", default=sys.executable, type=executable, metavar="PATH",
        help="interpreter that has the frameworks (default: this one)")
    add("--out", type=Path, default=Path("benchmark-results"), metavar="DIR", help="for results.json and pictures; results of "
        "other benchmarks on the same machine are kept there (default: benchmark-results)")
    add("--json", action="store_true", help="print results.json instead of tables")
    return top


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def executable(text: str) -> str:
    """Where an interpreter is, whatever folder it is started from."""
    return os.path.abspath(shutil.which(text) or text)


def run_all(options: argparse.Namespace) -> None:
    """Run the benchmarks one by one; after each part, print its table and bring results.json up to date."""
    names = options.benchmarks or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        raise ValueError(f"expected benchmarks among {', '.join(BENCHMARKS)}, got {', '.join(sorted(unknown))}")
    data = load_images(options.data)
    X = as_rows(data.X_train)[:options.images or (QUICK_IMAGES if options.quick else None)]
    run = Run(X, settings_of(options), options.threads, options.batch, options.quick, options.full)
    results = earlier(options.out, {"machine": describe(), "data": f"{len(X):,} images of {data.name}", "peers": {}})
    for name in names:
        for key, cell in BENCHMARKS[name](run):
            cell = {"date": datetime.date.today().isoformat(), **cell}
            cells = {**results["benchmarks"].get(name, {}), key: cell}
            results["benchmarks"][name] = dict(sorted(  # by size, whatever was measured first
                cells.items(), key=lambda item: (item[1].get("batch", 0), item[1].get("threads", 0))))
            results["peers"].update(versions_in(cell))
            write(results, options.out)
            print(report.TABLES[name](cell), end="\n\n", flush=True, file=sys.stderr if options.json else sys.stdout)
    try:
        pictures.draw(results, options.out)
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        print("\n\n".join(filter(None, (report.over_floor(results["benchmarks"]), report.conditions(results)))))


def settings_of(options: argparse.Namespace) -> Settings:
    """Who takes part, with what, and how often."""
    chosen = CONTESTANTS if "all" in options.peers else {"ours", *options.peers} - {"none"}
    return Settings(options.python, tuple(name for name in CONTESTANTS if name in chosen),
                    options.rounds or (2 if options.quick else 5), lambda text: print(text, file=sys.stderr, flush=True))


def versions_in(cell: dict[str, Any]) -> dict[str, str]:
    """The versions of the frameworks that took part."""
    results = cell.get("contestants", {}).values()
    return {name: version for result in results for name, version in result.get("versions", {}).items()
            if name not in ("python", "numpy", "numba") and version != "not loaded"}


def earlier(folder: Path, conditions: dict[str, Any]) -> dict[str, Any]:
    """The results that are in the folder already, if they were measured under the same conditions; else none."""
    path = folder / "results.json"
    if path.exists():
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if all(results[name] == conditions[name] for name in ("machine", "data")):
            return results
        print(f"{path} is of another machine, of other versions or data, and will be replaced", file=sys.stderr)
    return {**conditions, "benchmarks": {}}


def write(results: dict[str, Any], folder: Path) -> None:
    """Replace results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
