"""Tables in files: .csv, .npy, .npz and IDX, read as a matrix with the names of its columns; .csv, .npy and .npz written.

A table is read strictly: a missing cell, a word where a number is due or a row of another length is an error that says where.
"""

from __future__ import annotations

import csv
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO

import numpy as np

from ..errors import DataFormatError
from ..files import replacing
from .idx import GZIP_MAGIC, read_idx

FORMATS = "a .csv, .npy or .npz file, IDX (plain or .gz), or - for CSV on standard input"
BLOCK = 4096  # rows turned into text at a time


class Rows(Protocol):
    """What can be written: an array, or rows that are made as they are written."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Table(NamedTuple):
    """Rows of numbers X (rows, columns), the columns' names (None where there are none) and the names of those left out."""

    X: np.ndarray
    names: list[str] | None = None
    left_out: Sequence[str] = ()


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None, drop: Sequence[str] = (),
               delimiter: str = ",", header: bool | None = None) -> Table:
    """Return the table in a file: .csv, .npy (memory-mapped), .npz ("file.npz:name" if it holds several arrays), else IDX, plain
    or .gz; "-" is CSV on standard input.

    columns: only these, in this order, by name, or by number from 0 where there are no names; as many names as an unnamed table
    has columns name them. drop: all but these. delimiter, header: of CSV; header None means that the first line is one if some
    cell of it is neither empty nor a number. Arrays of more than two dimensions (images) become one row per entry of the first.

    Raises DataFormatError, with line and column, for a cell that is missing or no finite number, for rows of unequal length, and
    for a file that is not what its name says; ValueError for an unknown column; OSError as ``open`` does.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "readings.csv")
    ...     _ = path.write_text("time,speed,flow\\n08:00,1450,61.5\\n08:01,1447,61\\n")
    ...     read_table(path, drop=["time"])
    Table(X=array([[1450. ,   61.5],
           [1447. ,   61. ]]), names=['speed', 'flow'], left_out=['time'])
    """
    name = os.fspath(path)
    try:
        if _is_csv(name):
            with _text(name) as lines:
                return _read_csv(lines, columns, drop, delimiter, header)
        X = _as_rows(_read_array(name))
        chosen, names, left_out = _choose(None, X.shape[1], columns, drop)
        return Table(X if chosen == list(range(X.shape[1])) else X[:, chosen], names, left_out)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFormatError(f"{_called(name)}: expected CSV in UTF-8, found a damaged or other file ({error}): save it "
                              "in that encoding") from error
    except ValueError as error:
        text = str(error)
        raise type(error)(text if text.startswith(name) else f"{_called(name)}: {text}") from error


def read_column(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the numbers of a file that holds one per row, such as labels: (n,); formats and errors are those of ``read_table``.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels.npy")
    ...     np.save(path, [7, 2, 1])
    ...     read_column(path).tolist()
    [7, 2, 1]
    """
    name = os.fspath(path)
    column = read_table(name).X if _is_csv(name) else _read_array(name)
    if column.size != len(column):
        raise DataFormatError(f"{_called(name)}: expected one number per row, found an array of shape {column.shape}")
    return np.asarray(column).reshape(-1)


def write_table(path: str | os.PathLike[str], X: Rows, names: Sequence[str] | None = None, **more: np.ndarray) -> None:
    """Write X to a .csv (names as header, numbers in full), .npy or .npz file, which is replaced as a whole or not at all.

    X: an array, or what has its shape, dtype, length and slices of rows, which are asked for one after the other. more: further
    named arrays, which only .npz can hold; X is called "X" there. Raises ValueError for another extension.
    """
    path = Path(path)
    suffix = writable(path)
    with replacing(path) as part:
        if suffix == ".csv":
            with open(part, "w", encoding="utf-8", newline="") as text:
                write_csv(text, X, names)
        else:
            with open(part, "wb") as file:
                np.savez(file, X=X[:], **more) if suffix == ".npz" else _write_npy(file, X)  # type: ignore[arg-type]


def write_csv(stream: TextIO, X: Rows, names: Sequence[str] | None = None) -> None:
    """Write X as CSV: the fewest digits that give the same number of its type again.

    >>> write_csv(sys.stdout, np.array([[0.1, 2]], np.float32), ["a", "b"])
    a,b
    0.1,2.0
    """
    writer = csv.writer(stream, lineterminator="\n")
    if names is not None:
        writer.writerow(names)
    for start in range(0, len(X), BLOCK):
        writer.writerows(np.asarray(X[start:start + BLOCK]).astype(str).tolist())


def _write_npy(file: BinaryIO, X: Rows) -> None:
    """Write a block at a time: X may be larger than memory."""
    header = {"descr": np.lib.format.dtype_to_descr(X.dtype), "fortran_order": False, "shape": X.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for start in range(0, len(X), BLOCK):
        file.write(np.ascontiguousarray(X[start:start + BLOCK]).data)


def writable(path: Path) -> str:
    """Return the extension, in lower case, of a file that ``write_table`` can write; ValueError for any other."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npy", ".npz"):
        raise ValueError(f"expected an output file named .csv, .npy or .npz, got {str(path)!r}")
    return suffix


# ---- arrays -------------------------------------------------------------------------------------------------------------


def _is_csv(name: str) -> bool:
    return name == "-" or name.lower().endswith(".csv")


def _as_rows(X: np.ndarray) -> np.ndarray:
    """One row per entry of the first dimension."""
    if X.ndim < 2 or 0 in X.shape:
        raise DataFormatError(f"expected rows and columns, found an array of shape {X.shape}")
    return X if X.ndim == 2 else X.reshape(len(X), -1)


def _read_array(name: str) -> np.ndarray:
    """The array in a binary file."""
    file, colon, member = name.partition(".npz:")
    lower = name.lower()
    if colon or lower.endswith(".npz"):
        return _read_npz(file + ".npz" if colon else name, member)
    if lower.endswith(".npy"):
        X: np.ndarray = _loaded(name, mmap_mode="r")
        return X
    return _read_other(name)


def _read_npz(name: str, member: str) -> np.ndarray:
    content = _loaded(name)
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise DataFormatError("expected an .npz archive, found a single array: name it .npy")
    with content as archive:
        if not member and len(archive.files) != 1:
            raise DataFormatError(f"expected one array, found {', '.join(archive.files) or 'none'}: choose, as in "
                                  f"{name}:{(archive.files or ['X'])[0]}")
        if member and member not in archive.files:
            raise DataFormatError(f"expected an array {member!r}, found {', '.join(archive.files) or 'none'}")
        array: np.ndarray = archive[member or archive.files[0]]
        return array


def _loaded(name: str, **how: Any) -> Any:
    from zipfile import BadZipFile  # slow to import, and most files need none of it

    try:
        return np.load(name, allow_pickle=False, **how)
    except (ValueError, EOFError, BadZipFile) as error:
        raise DataFormatError(f"expected a NumPy file of numbers, found a damaged or other one ({error})") from error


def _read_other(name: str) -> np.ndarray:
    with open(name, "rb") as file:
        if file.read(2) not in (b"\0\0", GZIP_MAGIC):
            raise DataFormatError(f"expected data as {FORMATS}")
    return read_idx(name)


# ---- CSV ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _text(name: str) -> Iterator[Iterable[str]]:
    """The lines of a file or of standard input, a byte order mark at the start left out."""
    source = sys.stdin.fileno() if name == "-" else name
    with open(source, encoding="utf-8-sig", newline="", closefd=name != "-") as lines:
        yield lines


def _read_csv(lines: Iterable[str], columns: Sequence[str] | None, drop: Sequence[str], delimiter: str,
              header: bool | None) -> Table:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    first = next(reader, [])
    if not first:
        raise DataFormatError("expected rows of numbers, found " + ("an empty line 1" if reader.line_num else "an empty file"))
    if header is None:
        header = any(cell.strip() and not _is_number(cell) for cell in first)
    heads = [cell.strip() for cell in first] if header else None
    chosen, names, left_out = _choose(heads, len(first), columns, drop)
    values, places = array("d"), array("q")
    for row in _full_rows(reader, [] if header else [first], len(first)):
        cells = [row[i] for i in chosen]
        try:
            values.extend(map(float, cells))
        except ValueError:
            raise _wrong_cell(row, chosen, heads, reader.line_num, delimiter) from None
        if "_" in "".join(cells):  # Python's float reads 1_000, which in a table is no number
            raise _wrong_cell(row, chosen, heads, reader.line_num, delimiter)
        places.append(reader.line_num)
    if not places:
        raise DataFormatError("expected rows of numbers, found only a header (if it is data, say that there is no header)")
    X = np.frombuffer(values).reshape(len(places), len(chosen))
    _require_finite(X, places, chosen, heads)
    return Table(X, names, left_out)


def _full_rows(reader: Any, first: list[list[str]], width: int) -> Iterator[list[str]]:
    """The rows, all of the same width; empty lines are allowed at the end alone."""
    empty = 0
    for row in chain(first, reader):
        if not row:
            empty = empty or reader.line_num
        elif empty:
            raise DataFormatError(f"line {empty} is empty: remove it or fill it")
        elif len(row) != width:
            raise DataFormatError(f"expected {width} cells as in line 1, found {len(row)} in line {reader.line_num}")
        else:
            yield row


def _choose(heads: list[str] | None, width: int, columns: Sequence[str] | None,
            drop: Sequence[str]) -> tuple[list[int], list[str] | None, list[str]]:
    """Which columns to take, their names, and the names of those left out."""
    known = [str(i) for i in range(width)] if heads is None else heads
    if heads is None and columns is not None and len(columns) == width and not set(columns) & set(known):
        return list(range(width)), list(columns), []
    if heads is None and columns is not None and not set(columns) & set(known):
        raise ValueError(f"expected {len(columns)} columns, {_listed(columns)}, found {width} without names")
    wanted = [name for name in (known if columns is None else columns) if name not in drop]
    unknown = [name for name in (*(columns or ()), *drop) if name not in known]
    if unknown:
        raise ValueError(f"there is no column {' or '.join(map(repr, unknown[:8]))}: expected names among {_listed(known)}")
    if not wanted:
        raise ValueError("every column is dropped: nothing is left to read")
    double = [name for name in wanted if known.count(name) > 1 or wanted.count(name) > 1]
    if double:
        raise ValueError(f"the column {double[0]!r} is there twice: rename it, or choose others")
    left_out = [name for name in known if name not in wanted]
    return [known.index(name) for name in wanted], None if heads is None else wanted, left_out


def _wrong_cell(row: list[str], chosen: Sequence[int], heads: list[str] | None, line: int, delimiter: str) -> DataFormatError:
    """The error that names the first cell of the row that is no number, and what may be wrong."""
    column = next(i for i in chosen if not _is_number(row[i]))
    cell, hint = row[column].strip(), ""
    if not cell:
        return DataFormatError(f"line {line}, {_column(column, heads)}: the cell is empty: fill it, or remove its row or column")
    other = [mark for mark in ";\t,|" if mark in cell and mark != delimiter]
    if len(row) == 1 and other:
        hint = f": is the delimiter {other[0]!r}?"
    elif _is_number(cell.replace(",", ".")):
        hint = ": decimals need a point"
    elif heads is not None and any(map(_is_number, heads)):
        hint = ": line 1 was taken as a header; is it data?"
    else:
        hint = ": correct it, or leave the column out"
    return DataFormatError(f"line {line}, {_column(column, heads)}: expected a number, found {cell[:40]!r}{hint}")


def _require_finite(X: np.ndarray, places: Sequence[int], chosen: Sequence[int], heads: list[str] | None) -> None:
    finite = np.isfinite(X)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise DataFormatError(f"line {places[row]}, {_column(chosen[column], heads)}: expected a finite number, found "
                              f"{X[row, column]}: fill it, or remove the row or the column")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _column(index: int, heads: list[str] | None) -> str:
    return f"column {index} (from 0)" if heads is None else f"column {heads[index] or index!r}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _called(name: str) -> str:
    return "standard input" if name == "-" else name
