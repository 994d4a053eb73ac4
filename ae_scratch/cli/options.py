"""What the commands share: the parser, the data and files they are given, and where their output goes."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.tables import FORMATS, Rows, Table, read_table, writable, write_csv, write_table

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " "}


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """A parser whose help keeps its line breaks and whose options are never abbreviated, so that new ones break no script."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"formatter_class": _Help, "allow_abbrev": False, **kwargs})


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], arguments: str, help: str, text: str,
            examples: str) -> Parser:
    """Return the parser of one command: the first lines of its help are its usage, what it does and examples."""
    parser: Parser = commands.add_parser(name, help=help, usage=f"%(prog)s {arguments}",
                                         description=f"{text}\n\nexamples:\n{examples}")
    parser.set_defaults(run=run)
    return parser


def add_messages(parser: argparse.ArgumentParser, json: str | None = None) -> None:
    """Add --quiet, and --json where the command has something to print so."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages but errors")
    if json:
        parser.add_argument("--json", action="store_true", help=json)


def add_output(parser: argparse.ArgumentParser, help: str, required: bool = False) -> None:
    """Add -o FILE and --force."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=required, help=help)
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def add_data(parser: argparse.ArgumentParser, help: str) -> None:
    """Add DATA and how to read it."""
    parser.add_argument("data", metavar="DATA", help=f"{help}: {FORMATS}")
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add how files of data are to be read."""
    group = parser.add_argument_group("reading DATA")
    group.add_argument("--columns", type=names, metavar="A,B,...",
                       help="only these columns; by number from 0 if they have no names")
    group.add_argument("--drop", type=names, default=[], metavar="A,B,...", help="all columns but these")
    group.add_argument("--delimiter", type=delimiter, default=",", metavar="C",
                       help="between the cells of CSV, or tab (default: a comma)")
    group.add_argument("--header", action=argparse.BooleanOptionalAction, default=None,
                       help="whether CSV begins with names (default: if a cell of line 1 is no number)")


def add_image_shape(parser: argparse.ArgumentParser, help: str) -> None:
    """Add --image-shape HEIGHT WIDTH."""
    parser.add_argument("--image-shape", type=at_least_one, nargs=2, metavar=("HEIGHT", "WIDTH"), help=help)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL."""
    parser.add_argument("model", metavar="MODEL", help="a file that train has written")


def read(options: argparse.Namespace, path: str | None = None, columns: Sequence[str] | None = None) -> Table:
    """Return the table that the options describe, with these columns unless they name others; a message says which were left
    out."""
    table = read_table(path or options.data, options.columns or columns, options.drop, options.delimiter, options.header)
    if table.left_out and not options.quiet:
        say(f"{path or options.data}: left out {', '.join(table.left_out)}")
    return table


def load(options: argparse.Namespace, engine: str | None = "numpy") -> tuple[Autoencoder, list[str] | None]:
    """Return the model, and the names of the columns it was trained on, or None where they had none.

    It is run by NumPy, which starts at once, unless another engine is named or None, its own; and takes arrays: it is ``read``
    that finds its columns by their names.
    """
    from ..autoencoder import Autoencoder

    model = Autoencoder.load(options.model, engine)
    known = vars(model).pop("feature_names_in_", None)
    return model, None if known is None else [str(name) for name in known]


def require_free(path: Path | None, force: bool) -> None:
    """Raise OSError, before any work is done, for a file that is not to be replaced or cannot be written."""
    if path is None:
        return
    if path.exists() and (path.is_dir() or not force):
        raise FileExistsError(f"{path} is a folder: name a file in it" if path.is_dir() else
                              f"{path} exists: choose another name, or replace it with --force")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"{path.parent} is no folder: make it first, or choose another")


def require_table(options: argparse.Namespace) -> None:
    """Raise, before any work is done, unless the output is standard output or a free name of a table."""
    if options.output is not None:
        writable(options.output)
        require_free(options.output, options.force)


def put(options: argparse.Namespace, X: Rows, names: Sequence[str] | None) -> None:
    """Write X to the file that the options name, or as CSV to standard output."""
    if options.output is None:
        write_csv(sys.stdout, X, names)
    else:
        write_table(options.output, X, names)
        if not options.quiet:
            say(f"{options.output}: {size(X)}")


def put_json(content: Any) -> None:
    """Print the content as JSON; what JSON has no number for (NaN, infinity) becomes null."""
    print(json.dumps(_plain(content), indent=1, allow_nan=False))


def say(text: str) -> None:
    """Print a message to standard error."""
    print(text, file=sys.stderr, flush=True)


def size(X: Rows) -> str:
    """Return "2,000 rows x 8 columns" for a matrix."""
    return f"{len(X):,} row{'s'[:len(X) != 1]} x {X.shape[1]:,} column{'s'[:X.shape[1] != 1]}"


def names(text: str) -> list[str]:
    """Return the names in a list with commas; one that has a comma itself stands in quotes, as in CSV."""
    return [name.strip() for name in next(csv.reader([text]), [])]


def delimiter(text: str) -> str:
    """Return the character that separates cells."""
    mark = DELIMITERS.get(text, text)
    if len(mark) != 1 or mark in "\"\r\n":
        raise argparse.ArgumentTypeError(f"expected one character, or tab, got {text!r}")
    return mark


def at_least_one(text: str) -> int:
    """Return a whole number of at least 1."""
    return whole(text, 1, "at least 1")


def seed_number(text: str) -> int:
    """Return a whole number that can seed a model."""
    return whole(text, 0, "from 0 to 4294967295", 2**32 - 1)


def share(text: str) -> float:
    """Return a number above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def whole(text: str, least: int, range_: str, most: float = float("inf")) -> int:
    """Return a whole number in the range, whose name the error tells."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number {range_}, got {text!r}")
    return int(text)


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if isinstance(content, np.ndarray):
        return _plain(content.tolist())
    if isinstance(content, np.generic):
        return _plain(content.item())
    if isinstance(content, float):
        return content if np.isfinite(content) else None
    return content if isinstance(content, (str, int, bool, type(None))) else repr(content)
