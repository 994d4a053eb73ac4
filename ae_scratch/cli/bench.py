"""``ae-scratch bench``: the folder ``benchmarks`` of a source checkout, with the arguments as they are."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("bench", add_help=False, prefix_chars="\0",  # nothing is an option here: all is handed on
                                 help="measure how fast it is (source repository only)")
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the benchmarks and return their exit code; outside the source repository, help says where they are and all else is a
    FileNotFoundError."""
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / "benchmarks" / "__main__.py").exists():
            sys.path.insert(0, str(folder))
            try:
                return int(importlib.import_module("benchmarks.__main__").main(options.arguments))
            except SystemExit as done:  # of its parser: help, or a usage error
                return int(done.code or 0)
    where = "the benchmarks belong to the source repository: run this in its folder, the one with benchmarks/"
    if {"-h", "--help"} & {*options.arguments}:
        print(f"usage: ae-scratch bench ...\n\nMeasure how fast it is; {where}.")
        return 0
    raise FileNotFoundError(where)
