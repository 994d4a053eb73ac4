"""``ae-scratch data``: data to try things on, and what there is to know about a file of data."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ..datasets.tables import FORMATS, Table, write_table
from .options import (Parser, add_messages, add_output, add_reading, command, put, put_json, read, require_table, say,
                      seed_number, size, whole)

EXAMPLES = """  ae-scratch data                                  list the data sets
  ae-scratch data digits -n 1000 -o digits.npy     make one
  ae-scratch data sensors -o readings.csv
  ae-scratch data info readings.csv                what there is to know about a file
"""
CHECKED = 10_000  # rows
SETS = {  # name -> what it is, and how many rows by default
    "digits": ("handwritten-looking digits, drawn on the spot, 784 pixels, 0 to 255", 10_000),
    "landscapes": ("grey landscapes, drawn on the spot, 784 pixels, 0 to 255", 10_000),
    "mnist": ("MNIST's training images, 784 pixels, 0 to 255, from files on this machine", 60_000),
    "sensors": ("readings of a water pump, 8 columns with names", 2_000),
}


def add(commands: Any) -> None:
    """Add the command, and one below it for each data set, to the parser."""
    parser = command(commands, "data", list_sets, "[NAME -o FILE | info FILE] [options]", "make data, look into files of data",
                     "List, make and look at data.", EXAMPLES)
    kinds = parser.add_subparsers(title="data sets, and info", metavar="NAME", prog="ae-scratch data")
    for name, (what, rows) in SETS.items():
        _add_set(kinds, name, what, rows)
    info = command(kinds, "info", describe, "FILE [options]", "shape, range and hints", "Tell what is in a file of data.",
                   "  ae-scratch data info readings.csv --drop time\n  ae-scratch data info digits.npz:X --json\n")
    info.add_argument("data", metavar="FILE", help=FORMATS)
    add_reading(info)
    add_messages(info, json="print JSON")


def _add_set(kinds: Any, name: str, what: str, rows: int) -> None:
    parser: Parser = command(kinds, name, make, "[-o FILE] [options]", what, f"{what[0].upper()}{what[1:]}.",
                             f"  ae-scratch data {name} -n 1000 -o {name}.{'csv' if name == 'sensors' else 'npy'}\n")
    parser.add_argument("-n", type=_rows, default=rows, metavar="N", help=f"rows (default: {rows:,})")
    if name == "mnist":
        parser.add_argument("--download", action="store_true", help="fetch MNIST into the cache if it is not found")
    else:
        parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="default: 0")
    if name == "sensors":
        parser.add_argument("--faults", action="store_true", help="plant six faults, in rows 31, 84, 127, 190, 243 and 276")
    labels = "; .npz holds labels too, as y" if name in ("digits", "mnist") else ""
    add_output(parser, f"a .csv, .npy or .npz file (default: CSV on standard output){labels}")
    add_messages(parser)
    parser.set_defaults(name=name)


def list_sets(options: argparse.Namespace) -> int:
    """Print the names of the data sets and what they are."""
    for name, (what, _) in SETS.items():
        print(f"{name:<11} {what}")
    return 0


def make(options: argparse.Namespace) -> int:
    """Make a data set and write it."""
    require_table(options)
    X, y, names = _made(options)
    if y is not None and options.output is not None and options.output.suffix.lower() == ".npz":
        write_table(options.output, X, y=y)
        if not options.quiet:
            say(f"{options.output}: X, {size(X)}, and y, their labels")
    else:
        put(options, X, names)
    return 0


def _made(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray | None, list[str] | None]:
    """Rows, labels and names of the columns, as far as there are any."""
    from ..datasets import load_mnist, make_digits, make_landscapes, make_sensors, sensors

    if options.name == "sensors":
        return make_sensors(options.n, options.seed, options.faults), None, list(sensors.COLUMNS)
    if options.name == "landscapes":
        return _flat(make_landscapes(options.n, options.seed)), None, None
    if options.name == "digits":
        images, labels = make_digits(options.n, options.seed)
        return _flat(images), labels, None
    mnist = load_mnist(download=options.download)
    return _flat(mnist.X_train[:options.n]), mnist.y_train[:options.n], None


def describe(options: argparse.Namespace) -> int:
    """Print shape, type, range and hints, as text or JSON."""
    table = read(options)
    about = _about(table)
    if options.json:
        put_json(about)
        return 0
    print(f"{options.data}: {size(table.X)} of {table.X.dtype}, "
          f"from {about['min']:g} to {about['max']:g}, mean {about['mean']:.6g}")
    if table.names is not None:
        width = max(map(len, table.names))
        print(f"\n{'':{width}}  {'min':>10}  {'mean':>10}  {'max':>10}  {'deviation':>10}")
        for name, figures in about["features"].items():
            print(f"{name:<{width}}  " + "  ".join(f"{value:10.5g}" for value in figures.values()))
    print("", *about["hints"], sep="\n")
    return 0


def _about(table: Table) -> dict[str, Any]:
    X = table.X
    figures = {"min": X.min(axis=0), "mean": X.mean(axis=0), "max": X.max(axis=0), "deviation": X.std(axis=0)}
    features = {name: {what: float(values[i]) for what, values in figures.items()} for i, name in enumerate(table.names or ())}
    low, high = float(X.min()), float(X.max())
    return {"rows": len(X), "columns": X.shape[1], "dtype": str(X.dtype), "min": low, "max": high, "mean": float(X.mean()),
            "features": features, "hints": _hints(table, low, high)}


def _hints(table: Table, low: float, high: float) -> list[str]:
    """How to train on such data, and what may go wrong then, as far as their beginning shows it."""
    from ..autoencoder import Autoencoder
    from ..diagnostics import check_data

    X = table.X
    if X.dtype == np.uint8:
        how, model = "bytes: train with --scaling bytes", Autoencoder(code_size=1, scaling="bytes")
    elif 0 <= low and high <= 1:
        how, model = "all in [0, 1]: train as it is", Autoencoder(code_size=1)
    else:
        how = "not in [0, 1]: train with --scaling standard --loss mse, or --scaling minmax"
        model = Autoencoder(code_size=1, scaling="standard", loss="mse")
    return [how, *map(str, check_data(X[:CHECKED], model, table.names))]


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _rows(text: str) -> int:
    return whole(text, 1, "from 1 to 4294967295", 2**32 - 1)
