"""The layout of model files: named arrays and some strings, as the safetensors library reads them, and a hash over every byte.

A file is 8 bytes, the length of the header (unsigned, little-endian); the header, JSON padded with spaces to a multiple of 8; and
the arrays one after the other, little-endian, rows first. The header begins with PREFIX, so that the 64 digits of the hash
always stand at the same place: they are the SHA-256 of the file with zeros in place of these digits. docs/model-files.md
has the details. Nothing is known here of what the arrays mean.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from typing import Any

import numpy as np

from .errors import DataFormatError
from .files import replacement
from .kernels.reference import Array

FORMAT, VERSION = "ae_scratch", 1
LIMIT = 2**20  # bytes of a header: enough for some thousand arrays
PREFIX = b'{"__metadata__":{"sha256":"'
DIGITS = slice(len(PREFIX), len(PREFIX) + 64)  # where the hash stands in the header
DTYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "U8": np.dtype("u1")}
KINDS = {"autoencoder": "a whole autoencoder: Autoencoder.load", "network": "an encoder or a decoder alone: Network.load"}

Header = dict[str, Any]  # what its JSON holds


def write(path: str | os.PathLike[str], kind: str, metadata: Mapping[str, str], arrays: Mapping[str, Array]) -> None:
    """Write a file of that kind, completely or not at all: the same content gives the same bytes.

    Raises TypeError for arrays that are not of float64, float32 or uint8, ValueError if there are too many of them, or too much
    metadata, for a header, and OSError if the file cannot be written; the old one stays then.
    """
    parts = {name: _little_endian(array, name) for name, array in arrays.items()}
    parts = dict(sorted(parts.items(), key=lambda item: -item[1].itemsize))  # each begins at a multiple of its item size
    header = _padded(_encode(_header(kind, metadata, parts)))
    if len(header) > LIMIT:
        raise ValueError(f"expected names and settings that fit into a header of {LIMIT} bytes, got {len(header)}")
    digest = hashlib.sha256(len(header).to_bytes(8, "little") + header)
    for part in parts.values():
        digest.update(part.data)
    header = header[:DIGITS.start] + digest.hexdigest().encode() + header[DIGITS.stop:]
    with replacement(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for part in parts.values():
            file.write(part.data)


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, str], dict[str, Array]]:
    """Return metadata and arrays of a file of that kind.

    Lengths, offsets, dtypes and shapes are checked against the size of the file before memory is taken for the arrays, which is
    as much as the file is long. To be called within ``format_errors``: other content than ``write`` has written raises
    DataFormatError, or whatever error the mistake in it leads to. OSError if the file cannot be read.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        header = _read_header(file, size)
        content = _parse(header, kind)
        metadata = content.pop("__metadata__")
        _check_entries(content, size - 8 - len(header))
        digest = hashlib.sha256(len(header).to_bytes(8, "little") + header[:DIGITS.start] + b"0" * 64 + header[DIGITS.stop:])
        arrays = {name: _read_array(file, entry, digest) for name, entry in content.items()}
        if file.read(1):
            raise DataFormatError("it grew while it was read")
        if digest.hexdigest().encode() != header[DIGITS]:
            raise DataFormatError("its content does not have the SHA-256 it had when it was written: it was damaged or changed")
    return metadata, arrays


@contextmanager
def format_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with the content of a file into one error, which names the file."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        what = str(error) if isinstance(error, DataFormatError) else f"not a valid model file: {error!r}"
        raise DataFormatError(f"{os.fsdecode(path)}: {what}") from error


# ---- writing ------------------------------------------------------------------------------------------------------------


def _little_endian(array: Array, name: str) -> Array:
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES.values():
        raise TypeError(f"expected {name} as float64, float32 or uint8, got {dtype}")
    return np.asarray(array, dtype, order="C")


def _header(kind: str, metadata: Mapping[str, str], parts: Mapping[str, Array]) -> Header:
    """The header's content, with zeros for the hash."""
    about = {"sha256": "0" * 64, "format": FORMAT, "format_version": str(VERSION), "kind": kind, **metadata}
    header: Header = {"__metadata__": about}
    names, end = {dtype: name for name, dtype in DTYPES.items()}, 0
    for name, part in parts.items():
        begin, end = end, end + part.nbytes
        header[name] = {"dtype": names[part.dtype], "shape": list(part.shape), "data_offsets": [begin, end]}
    return header


def _encode(header: Header) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode("ascii")


def _padded(header: bytes) -> bytes:
    return header + b" " * (-len(header) % 8)


# ---- reading ------------------------------------------------------------------------------------------------------------


def _opened(path: str | os.PathLike[str]) -> BufferedReader:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise DataFormatError("expected a file, got a folder, device or pipe")
    return open(path, "rb")


def _read_header(file: BufferedReader, size: int) -> bytes:
    """The bytes of the header; DataFormatError if there cannot be one."""
    length = int.from_bytes(file.read(8), "little")
    start = file.read(len(PREFIX))
    if size < 8 + len(PREFIX) or not start.startswith(b"{"):
        raise DataFormatError("expected a model file (safetensors layout), got something else, or only the beginning of one")
    if start != PREFIX:
        raise DataFormatError("a safetensors file, but not one that ae_scratch wrote, or a damaged one: read others with the "
                              "safetensors library and hand their arrays to set_weights")
    if length > min(LIMIT, size - 8):
        raise DataFormatError(f"expected a header of at most {min(LIMIT, size - 8)} bytes, got {length}: the file is truncated "
                              "or damaged")
    return start + file.read(length - len(PREFIX))


def _parse(header: bytes, kind: str) -> Header:
    """The content of a header of that kind and of a version that is known here."""
    content = json.loads(header.decode("ascii"))
    metadata = content["__metadata__"]
    if metadata["format"] != FORMAT:
        raise DataFormatError(f"expected format {FORMAT!r}, got {metadata['format']!r}")
    if metadata["format_version"] != str(VERSION):
        raise DataFormatError(f"expected format version {VERSION}, got {metadata['format_version']!r}: a newer ae_scratch wrote "
                              "the file, so update this one")
    if metadata["kind"] != kind:
        raise DataFormatError(f"expected {KINDS[kind].partition(':')[0]}; this file holds {KINDS[metadata['kind']]} reads it")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise DataFormatError("expected strings in its metadata")
    if _padded(_encode(content)) != header:  # names given twice, numbers spelled otherwise, content behind the end, ...
        raise DataFormatError("its header is not spelled as ae_scratch spells it: it was damaged or changed")
    return content


def _check_entries(entries: Header, size: int) -> None:
    """Raise DataFormatError unless these arrays fill so many bytes one after the other."""
    end = 0
    for name, entry in entries.items():
        dtype, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not all(type(number) is int and 0 <= number <= size for number in (*shape, begin, stop)) or len(shape) > 2:
            raise DataFormatError(f"{name} has an impossible shape or place: {shape}, {[begin, stop]}")
        if begin != end or stop - begin != math.prod(shape) * DTYPES[dtype].itemsize or len(entry) != 3:
            raise DataFormatError(f"{name} is not where it must be, or not as long as its shape says")
        end = stop
    if end != size:
        raise DataFormatError(f"expected {end} bytes of arrays, got {size}: the file is truncated or damaged")


def _read_array(file: BufferedReader, entry: Any, digest: Any) -> Array:
    array: Array = np.empty(tuple(entry["shape"]), DTYPES[entry["dtype"]])
    if file.readinto(array.data) < array.nbytes:
        raise DataFormatError("it shrank while it was read")
    digest.update(array.data)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
